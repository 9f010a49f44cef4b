//! `wattkeeper diagnose`: one verdict per device, fit for a job prolog or an init container, and the incidents behind it.
mod page;
mod since;
mod slowed;
mod standing;
mod story;

pub use since::{LookBack, parse as parse_since};
pub use slowed::{Slowed, Who};

use crate::cli::Diagnose;
use crate::client::{Client, Target};
use crate::clock::wait_until;
use crate::config::Config;
use crate::run::Failed;
use dashboards::format::evidence as shown;
use model::event::Health;
use model::{DeviceId, Incident, Snapshot, Standing, Timestamp};
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// From one beat to the next when the devices are read directly.
const BEAT: Duration = Duration::from_millis(200);

/// Judges a node: asks a running agent, which remembers what happened, or reads the devices itself for a few beats.
///
/// # Errors
/// When a named agent does not answer or the rig cannot be assembled.
pub fn diagnose(config: &Config, flags: &Diagnose) -> Result<Report, Failed> {
    if let Some(url) = &flags.attach {
        let client = Client::new(Target::parse(url)?);
        let snapshot = client.state()?;
        return asked(&client, &snapshot, flags);
    }
    for target in Target::of_config(config).into_iter().filter(|_| !flags.alone) {
        let client = Client::new(target);
        if let Ok(snapshot) = client.state() {
            return asked(&client, &snapshot, flags);
        }
    }
    let snapshot = look(config, flags.beats)?;
    let back = flags.since.map(|since| LookBack::without_agent(since, &snapshot, config));
    Ok(Report { back, ..Report::of(&snapshot) })
}

/// The report of an agent's snapshot, with what it knows of the time looked back over.
fn asked(client: &Client, snapshot: &Snapshot, flags: &Diagnose) -> Result<Report, Failed> {
    let back = match flags.since {
        Some(since) => Some(LookBack::of(since, snapshot.frame.at, client.incidents()?)),
        None => None,
    };
    Ok(Report { back, ..Report::of(snapshot) })
}

/// Reads the devices for some beats. Nothing is written to any device.
fn look(config: &Config, beats: u32) -> Result<Snapshot, Failed> {
    let mut config = config.clone();
    config.power.enforce = false;
    config.beat.interval = BEAT;
    let assembly = crate::rig::assemble(&config)?;
    let (clock, pace) = (Arc::clone(&assembly.clock), assembly.pace.clone());
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
    /// Active incidents, newest first.
    pub incidents: Vec<Arc<Incident>>,
    /// Workloads, and processes on accelerators, that are slower than alone beyond the noise floor, the slowest first.
    pub slowed: Vec<Slowed>,
    /// What is known of the time looked back over, where that was asked for.
    pub back: Option<LookBack>,
    /// What each detector that learns can say of each device, by the device's name.
    pub standings: Vec<(String, Standing)>,
    /// The beat that it is about.
    pub at: Timestamp,
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
        let name = |standing: &Standing| table.get(standing.device).info.name.clone();
        Self {
            host: snapshot.node.host.clone(),
            rig: snapshot.node.rig.as_str(),
            health,
            devices,
            incidents: snapshot.incidents.iter().filter(|incident| incident.active()).cloned().collect(),
            slowed: slowed::of(snapshot),
            back: None,
            standings: snapshot.standings.iter().map(|s| (name(s), s.clone())).collect(),
            at: snapshot.frame.at,
        }
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
            let mut head = format!("  {:<10} {:<9} ", device.name, device.health.as_str());
            for because in &device.because {
                page::put(&mut text, &head, because);
                head = " ".repeat(head.chars().count());
            }
            for remedy in &device.remedies {
                page::put(&mut text, &format!("{head}→ "), remedy);
            }
        }
        text.push_str(&standing::text(&self.standings));
        text.push_str(&slowed::text(&self.slowed));
        for incident in &self.incidents {
            let _ = write!(text, "\n{}", story::text(incident, self.at));
        }
        if let Some(back) = &self.back {
            let _ = writeln!(text, "\n{}", back.told());
            for incident in &back.incidents {
                let _ = write!(text, "\n{}", story::text(incident, self.at));
            }
            if back.incidents.is_empty() {
                let _ = writeln!(text, "  no incident ended in that time");
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
            "at_ms": self.at.wall_ms,
            "incidents": described(&self.incidents),
            "slowed": self.slowed.iter().map(slowed::json).collect::<Vec<_>>(),
            "standings": self.standings.iter().map(standing::json).collect::<Vec<_>>(),
            "since": self.back.as_ref().map(|back| json!({
                "asked_ms": back.asked_ms, "from_ms": back.from_ms, "started_ms": back.started_ms,
                "told": back.told(), "incidents": described(&back.incidents),
            })),
        })
    }
}

fn described(incidents: &[Arc<Incident>]) -> Vec<serde_json::Value> {
    incidents.iter().map(|incident| crate::publish::incident(incident)).collect()
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
            let metric = evidence.metric;
            let [seen, expected] = [evidence.observed, evidence.expected].map(|number| shown(metric, number));
            let _ = write!(text, ", {metric} {seen}, expected {expected}");
        }
        because.push(text);
        if !remedies.contains(&event.advice()) {
            remedies.push(event.advice());
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
mod tests;
