//! Families of the agent itself: what it found, decided and is.
use super::page::Page;
use model::{Severity, Snapshot, Stand};
use prometheus::proto::MetricFamily;

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Every family of the agent, those without samples included. Counts are far below 2^53, so they are exact.
pub(super) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut page = Page::new();
    identity(snapshot, &mut page);
    works(snapshot, &mut page);
    events(snapshot, &mut page);
    incidents(snapshot, &mut page);
    power(snapshot, &mut page);
    super::shares::add(snapshot, &mut page);
    super::interference::add(snapshot, &mut page);
    vitals(snapshot, &mut page);
    super::coverage::coverage(&snapshot.frame, |labels, devices| {
        page.add("metric_coverage_devices", labels, devices)
    });
    page.families()
}

fn identity(snapshot: &Snapshot, page: &mut Page) {
    page.add("build_info", &[&snapshot.node.version, snapshot.node.rig.as_str()], 1.0);
    for device in snapshot.frame.devices.iter().filter(|device| !device.gone) {
        let info = &device.info;
        let values =
            [info.kind.as_str(), &info.key, &info.name, &info.model, info.vendor.as_str(), &info.parent];
        page.add("device_info", &values, 1.0);
    }
    for signal in &snapshot.signals {
        for (name, value) in &signal.values {
            page.add("signal", &[&signal.pool, name], *value);
        }
    }
}

fn works(snapshot: &Snapshot, page: &mut Page) {
    for state in &snapshot.frame.works {
        let key = snapshot.frame.devices.get(state.device).info.key.as_str();
        for work in model::Work::ALL {
            page.add("accelerator_work", &[key, work.as_str()], flag(work == state.work));
        }
        page.add("accelerator_work_confidence_ratio", &[key], state.confidence);
    }
}

fn events(snapshot: &Snapshot, page: &mut Page) {
    let mut seen = std::collections::BTreeSet::new();
    for event in snapshot.events.iter().filter(|event| event.active()) {
        let key = snapshot.frame.devices.get(event.device).info.key.as_str();
        let code = event.code.to_string();
        // Two detectors may report one fault; a series must not appear twice.
        if seen.insert((event.fault, event.severity, key, event.code)) {
            page.add("event_active", &[event.fault.as_str(), event.severity.as_str(), key, &code], 1.0);
        }
    }
    for (fault, severity, count) in &snapshot.counts.events {
        page.add("events_total", &[fault.as_str(), severity.as_str()], *count as f64);
    }
    for (action, mode, count) in &snapshot.counts.decisions {
        page.add("decisions_total", &[action, mode.as_str()], *count as f64);
    }
    for (verdict, count) in &snapshot.counts.verdicts {
        page.add("orders_total", &[verdict.as_str()], *count as f64);
    }
    for (outcome, count) in &snapshot.counts.pushes {
        page.add("otlp_pushes_total", &[outcome], *count as f64);
    }
    for source in &snapshot.sources {
        for (reason, count) in &source.failures {
            page.add("source_failures_total", &[&source.name, reason.as_str()], *count as f64);
        }
    }
}

fn incidents(snapshot: &Snapshot, page: &mut Page) {
    let active = || snapshot.incidents.iter().filter(|incident| incident.active());
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        let count = active().filter(|incident| incident.severity == severity).count();
        page.add("incidents", &[severity.as_str()], count as f64);
    }
    let mut seen = std::collections::BTreeSet::new();
    for incident in active() {
        let (cause, severity) = (incident.cause.fault.as_str(), incident.severity.as_str());
        let (remedy, confidence) = (incident.remedy.as_str(), incident.confidence.as_str());
        for device in &incident.devices {
            // Two incidents of one device may look alike; a series must not appear twice.
            let labels = [cause, severity, remedy, confidence, device.key.as_str()];
            if seen.insert(labels) {
                page.add("incident_active", &labels, 1.0);
            }
        }
    }
    for (cause, count) in &snapshot.counts.incidents {
        page.add("incidents_total", &[cause.as_str()], *count as f64);
    }
    for standing in &snapshot.standings {
        let key = snapshot.frame.devices.get(standing.device).info.key.as_str();
        let mask = if let Stand::Masked { mask, .. } = standing.stand { mask.as_str() } else { "" };
        page.add("detector_standing", &[&standing.detector, key, standing.stand.as_str(), mask], 1.0);
    }
}

fn power(snapshot: &Snapshot, page: &mut Page) {
    page.add("power_enforcing", &[], flag(snapshot.mode == model::Mode::Enforce));
    let Some(power) = &snapshot.power else { return };
    page.add("power_node_watts", &["accelerators"], power.accelerators.0);
    page.add("power_node_watts", &["rest"], power.rest.0);
    page.add("power_node_watts", &["counted"], power.counted.0);
    page.add("power_budget_watts", &[], power.budget.0);
    for (name, share) in [("low", power.low), ("high", power.high), ("brake", 1.0)] {
        page.add("power_threshold_ratio", &[name], share);
    }
    page.add("power_stage", &[], f64::from(power.stage as u8));
    page.add("power_over_budget_seconds_total", &[], power.over_budget_seconds);
    page.add("power_learning", &[], flag(power.rise.is_none()));
    if let Some(rise) = power.rise {
        page.add("power_rise_ratio", &[], rise);
    }
    for cost in &power.costs {
        let key = snapshot.frame.devices.get(cost.device).info.key.as_str();
        page.add("power_cap_slowdown_ratio", &[key], cost.slowdown);
        page.add("power_cap_saved_joules", &[key], cost.saved_j);
    }
}

fn vitals(snapshot: &Snapshot, page: &mut Page) {
    let vitals = &snapshot.vitals;
    page.add("agent_beats_total", &[], vitals.beats as f64);
    page.add("agent_beats_missed_total", &[], vitals.beats_missed as f64);
    page.add("agent_beat_seconds", &[], vitals.beat_seconds);
    page.add("agent_beat_late_seconds", &[], vitals.late_seconds);
    page.add("agent_cpu_seconds_total", &[], vitals.cpu_seconds);
    page.add("agent_resident_bytes", &[], vitals.resident_bytes as f64);
    page.add("agent_held_bytes", &[], vitals.held_bytes as f64);
    page.add("agent_snapshot_timestamp_seconds", &[], snapshot.frame.at.unix_seconds());
}
