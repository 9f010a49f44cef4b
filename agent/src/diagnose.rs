//! `wattkeeper diagnose`: one verdict per device, fit for a job prolog or an init container.
use crate::cli::Diagnose;
use crate::client::{Client, Target};
use crate::clock::wait_until;
use crate::config::Config;
use crate::run::Failed;
use model::event::Health;
use model::{DeviceId, Snapshot};
use serde_json::json;
use std::fmt::Write as _;
use std::time::Duration;

/// From one beat to the next when the devices are read directly.
const BEAT: Duration = Duration::from_millis(200);

/// Judges a node: asks a running agent, which remembers what happened, or reads the devices itself for a few beats.
///
/// # Errors
/// When a named agent does not answer or the rig cannot be assembled.
pub fn diagnose(config: &Config, flags: &Diagnose) -> Result<Report, Failed> {
    if let Some(url) = &flags.attach {
        return Ok(Report::of(&Client::new(Target::parse(url)?).state()?));
    }
    let asked = Target::of_config(config).into_iter().filter(|_| !flags.alone);
    if let Some(snapshot) = asked.filter_map(|target| Client::new(target).state().ok()).next() {
        return Ok(Report::of(&snapshot));
    }
    look(config, flags.beats).map(|snapshot| Report::of(&snapshot))
}

/// Reads the devices for some beats. Nothing is written to any device.
fn look(config: &Config, beats: u32) -> Result<Snapshot, Failed> {
    let mut config = config.clone();
    config.power.enforce = false;
    config.beat.interval = BEAT;
    let assembly = crate::rig::assemble(&config)?;
    let (clock, pace) = (std::sync::Arc::clone(&assembly.clock), assembly.pace.clone());
    let mut beat = crate::engine::build(&config, assembly)?;
    let mut due = clock.now();
    for _ in 0..beats {
        beat.collect(clock.now());
        beat.think();
        due = due.after(BEAT);
        match &pace {
            crate::rig::Pace::Machine => wait_until(due.mono_ns),
            crate::rig::Pace::Stepped(steps) => steps.reach(due),
        }
    }
    Ok(beat.snapshot())
}

/// What is said of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its short name.
    pub name: String,
    /// Its identity.
    pub key: String,
    /// The verdict.
    pub health: Health,
    /// What supports it, a sentence each.
    pub because: Vec<String>,
    /// What to do about it.
    pub remedies: Vec<&'static str>,
}

/// The verdicts of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The host.
    pub host: String,
    /// Where data come from.
    pub rig: &'static str,
    /// The worst of the devices; `Unknown` when there is no accelerator.
    pub health: Health,
    /// Every accelerator, vanished ones included, then whatever else has an event.
    pub devices: Vec<Finding>,
}

impl Report {
    /// Judges every device of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let table = &snapshot.frame.devices;
        let has_event = |id: DeviceId| snapshot.events.iter().any(|e| e.active() && e.device == id);
        let judged = table.iter().filter(|d| d.info.kind.is_accelerator() || has_event(d.id));
        let devices: Vec<_> = judged.map(|d| finding(snapshot, d.id)).collect();
        let accelerators = table.iter().any(|d| d.info.kind.is_accelerator());
        let worst = devices.iter().map(|finding| finding.health).max_by_key(|health| weight(*health));
        let health = match worst {
            Some(worst) if accelerators || worst != Health::Healthy => worst,
            _ => Health::Unknown,
        };
        Self { host: snapshot.node.host.clone(), rig: snapshot.node.rig.as_str(), health, devices }
    }

    /// The exit code: 0 healthy, 1 degraded, 2 faulty, 3 unknown.
    pub fn exit_code(&self) -> u8 {
        match self.health {
            Health::Healthy => 0,
            Health::Degraded => 1,
            Health::Faulty => 2,
            Health::Unknown => 3,
        }
    }

    /// The report for a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let place = if self.rig == "hardware" { String::new() } else { format!(" ({} data)", self.rig) };
        let _ = writeln!(text, "{}{place}: {}", self.host, self.health.as_str());
        if self.devices.is_empty() {
            let _ = writeln!(text, "  no accelerator was found, so nothing can be said of any");
        }
        for device in &self.devices {
            let _ = writeln!(
                text,
                "  {:<10} {:<9} {}",
                device.name,
                device.health.as_str(),
                device.because.join("; ")
            );
            for remedy in &device.remedies {
                let _ = writeln!(text, "  {:<20} → {remedy}", "");
            }
        }
        text
    }

    /// The report as JSON.
    pub fn json(&self) -> serde_json::Value {
        let device = |d: &Finding| json!({ "name": d.name, "device": d.key, "health": d.health, "because": d.because, "remedies": d.remedies });
        json!({
            "host": self.host, "rig": self.rig, "health": self.health, "exit_code": self.exit_code(),
            "devices": self.devices.iter().map(device).collect::<Vec<_>>(),
        })
    }
}

/// A known fault outweighs what is not known, and that outweighs a mere degradation.
fn weight(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Unknown => 2,
        Health::Faulty => 3,
    }
}

fn finding(snapshot: &Snapshot, id: DeviceId) -> Finding {
    let device = snapshot.frame.devices.get(id);
    let events = snapshot.events.iter().filter(|e| e.active() && e.device == id);
    let mut because = Vec::new();
    let mut remedies = Vec::new();
    for event in events {
        let mut text = format!("{} ({})", event.title(), event.severity.as_str());
        for evidence in event.evidence.iter().flatten() {
            let _ = write!(
                text,
                ", {} {:.4} expected {:.4}",
                evidence.metric, evidence.observed, evidence.expected
            );
        }
        because.push(text);
        if !remedies.contains(&event.fault.advice()) {
            remedies.push(event.fault.advice());
        }
    }
    let accelerator = device.info.kind.is_accelerator();
    let health = if accelerator { snapshot.health(id) } else { worst_event(snapshot, id) };
    if because.is_empty() {
        because.push(match health {
            Health::Unknown if device.gone => "it is gone".to_owned(),
            Health::Unknown => "it does not answer".to_owned(),
            _ => "no fault seen".to_owned(),
        });
    }
    Finding { name: device.info.name.clone(), key: device.info.key.clone(), health, because, remedies }
}

fn worst_event(snapshot: &Snapshot, id: DeviceId) -> Health {
    let worst = snapshot.events.iter().filter(|e| e.active() && e.device == id).map(|e| e.severity).max();
    match worst {
        Some(model::Severity::Critical) => Health::Faulty,
        Some(model::Severity::Warning) => Health::Degraded,
        _ => Health::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, Metric, Reading, Timestamp};
    use std::sync::Arc;

    fn node(temperatures: &[Option<f64>]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let info = |n| Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")));
        let ids: Vec<_> = (0..temperatures.len()).map(|n| table.register(&info(n)).unwrap()).collect();
        snapshot.frame.begin(Timestamp::default());
        for (id, temperature) in ids.iter().zip(temperatures) {
            if let Some(value) = temperature {
                snapshot.frame.put(*id, Metric::Temperature, Reading::Value(*value));
            }
        }
        snapshot
    }

    #[test]
    fn a_node_without_accelerators_is_unknown() {
        assert_eq!(Report::of(&node(&[])).exit_code(), 3);
    }

    #[test]
    fn one_silent_device_makes_the_node_unknown() {
        let report = Report::of(&node(&[Some(40.0), None]));
        assert_eq!(report.exit_code(), 3);
        assert_eq!(report.devices[0].health, Health::Healthy);
        assert!(report.text().contains("does not answer"));
    }

    #[test]
    fn healthy_devices_make_a_healthy_node() {
        assert_eq!(Report::of(&node(&[Some(40.0), Some(41.0)])).exit_code(), 0);
    }
}
