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
        "wattkeeper_metric_coverage_devices",
        Unit::Count,
        MetricKind::Gauge,
        &["metric", "series", "kind", "vendor", "state"],
        "Devices by whether a metric can be read of them: supported, unsupported, denied, disabled, or stale (lost, late, implausible).",
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
        "wattkeeper_workload_power_watts",
        Unit::Watts,
        MetricKind::Gauge,
        WORKLOAD,
        "Power of an accelerator that is a workload's; with kind unattributed, nobody's. The parts of an accelerator add up to its power.",
    ),
    family(
        "wattkeeper_workload_energy_joules_total",
        Unit::Joules,
        MetricKind::Counter,
        WORKLOAD,
        "Energy that a workload used on an accelerator since it was first seen, over restarts of wattkeeper; with kind departed, of all that are no longer listed.",
    ),
    family(
        "wattkeeper_workload_memory_bytes",
        Unit::Bytes,
        MetricKind::Gauge,
        WORKLOAD,
        "Device memory that a workload's processes hold on an accelerator.",
    ),
    family(
        "wattkeeper_workload_utilization_ratio",
        Unit::Ratio,
        MetricKind::Gauge,
        WORKLOAD,
        "Share of an accelerator's compute time that a workload's processes used.",
    ),
    family(
        "wattkeeper_source_failures_total",
        Unit::Count,
        MetricKind::Counter,
        &["source", "reason"],
        "Failed collections and openings by source and reason.",
    ),
    family(
        "wattkeeper_otlp_pushes_total",
        Unit::Count,
        MetricKind::Counter,
        &["outcome"],
        "Pushes over OTLP by outcome: ok, failed (refused, or not accepted after every try), dropped (the queue was full).",
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

/// The labels of what is a workload's. The workload is its key, which is empty where it is nobody's.
const WORKLOAD: &[&str] = &["device", "kind", "workload", "namespace", "pod", "container"];

const fn family(
    name: &'static str,
    unit: Unit,
    kind: MetricKind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, unit, kind, labels, help }
}
