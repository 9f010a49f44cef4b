//! Families that the agent exports beside the readings: what it found, decided and is.
use crate::metric::{Family, MetricKind};
use crate::units::Unit;

/// What the agent exports beside the readings. The exporter takes names from here only.
pub const FAMILIES: &[Family] = &[
    family(
        "wattkeeper_build_info",
        Unit::Count,
        MetricKind::Gauge,
        &["version", "rig"],
        "Always 1; the version, and the rig that data come from: hardware, sim or replay.",
    ),
    family(
        "wattkeeper_device_info",
        Unit::Count,
        MetricKind::Gauge,
        &["kind", "device", "name", "model", "vendor", "parent"],
        "Always 1; the identity of a device, to join readings with, and of what it is a part of.",
    ),
    family(
        "wattkeeper_event_active",
        Unit::Flag,
        MetricKind::Gauge,
        &["fault", "severity", "device", "code"],
        "Events that are raised now; the code is the XID's, 0 for other faults.",
    ),
    family(
        "wattkeeper_events_total",
        Unit::Count,
        MetricKind::Counter,
        &["fault", "severity"],
        "Events raised since the start.",
    ),
    family(
        "wattkeeper_decisions_total",
        Unit::Count,
        MetricKind::Counter,
        &["action", "mode"],
        "Decisions taken since the start.",
    ),
    family(
        "wattkeeper_orders_total",
        Unit::Count,
        MetricKind::Counter,
        &["verdict"],
        "What became of decisions since the start.",
    ),
    family(
        "wattkeeper_power_node_watts",
        Unit::Watts,
        MetricKind::Gauge,
        &["part"],
        "Node power as the budget counts it: accelerators, rest, and the total with margin.",
    ),
    family(
        "wattkeeper_power_budget_watts",
        Unit::Watts,
        MetricKind::Gauge,
        &[],
        "Power budget of the node; absent when none is configured.",
    ),
    family(
        "wattkeeper_power_threshold_ratio",
        Unit::Ratio,
        MetricKind::Gauge,
        &["threshold"],
        "Thresholds of the budget in force: low, high and brake.",
    ),
    family(
        "wattkeeper_power_stage",
        Unit::Count,
        MetricKind::Gauge,
        &[],
        "How hard power is held: 0 free, 1 low-priority trimmed, 2 all trimmed, 3 brake.",
    ),
    family(
        "wattkeeper_power_over_budget_seconds_total",
        Unit::Seconds,
        MetricKind::Counter,
        &[],
        "Time for which measured node power was above the budget.",
    ),
    family(
        "wattkeeper_power_enforcing",
        Unit::Flag,
        MetricKind::Gauge,
        &[],
        "Whether caps are enforced (1) or only advised (0).",
    ),
    family(
        "wattkeeper_signal",
        Unit::Count,
        MetricKind::Gauge,
        &["pool", "signal"],
        "Signals for autoscalers; absent when their inputs are stale.",
    ),
    family(
        "wattkeeper_source_failures_total",
        Unit::Count,
        MetricKind::Counter,
        &["source", "reason"],
        "Failed collections and openings by source and reason.",
    ),
    family(
        "wattkeeper_agent_beats_total",
        Unit::Count,
        MetricKind::Counter,
        &[],
        "Beats run since the start.",
    ),
    family(
        "wattkeeper_agent_beats_missed_total",
        Unit::Count,
        MetricKind::Counter,
        &[],
        "Beats that were due while an earlier one was still running.",
    ),
    family(
        "wattkeeper_agent_beat_seconds",
        Unit::Seconds,
        MetricKind::Gauge,
        &[],
        "How long the last beat took.",
    ),
    family(
        "wattkeeper_agent_beat_late_seconds",
        Unit::Seconds,
        MetricKind::Gauge,
        &[],
        "How long after its due time the last beat began.",
    ),
    family(
        "wattkeeper_agent_cpu_seconds_total",
        Unit::Seconds,
        MetricKind::Counter,
        &[],
        "Processor time used by wattkeeper itself.",
    ),
    family(
        "wattkeeper_agent_resident_bytes",
        Unit::Bytes,
        MetricKind::Gauge,
        &[],
        "Resident memory of wattkeeper itself.",
    ),
    family(
        "wattkeeper_agent_held_bytes",
        Unit::Bytes,
        MetricKind::Gauge,
        &[],
        "Memory that history and fitted models hold.",
    ),
    family(
        "wattkeeper_agent_snapshot_timestamp_seconds",
        Unit::Seconds,
        MetricKind::Gauge,
        &[],
        "Wall-clock time of the beat that these numbers are from.",
    ),
];

const fn family(
    name: &'static str,
    unit: Unit,
    kind: MetricKind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, unit, kind, labels, help }
}
