//! `wattkeeper power`: the budget, what is capped and why, the journal and the guardian, on one screen.
use crate::actuate::Row;
use crate::actuate::journal::{Journal, JournalError, Original, Originals};
use crate::cli::Power as Flags;
use crate::client::{Client, ClientError, Target};
use crate::clock::MachineClock;
use crate::config::Config;
use crate::guardian::wire::{self, Answer, Ask, Status};
use dashboards::format::moment;
use model::snapshot::Settled;
use model::stages::Caps;
use model::{Clock as _, DeviceKind, Knob, Metric, Snapshot, Timestamp};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// How long a guardian may take to say what is in force: a driver call a device.
const PATIENCE: Duration = Duration::from_secs(5);
/// Letters of a device in the table.
const DEVICE_WIDTH: usize = 11;

/// What is known of a node's power, each part by itself: one that is not there does not hide the others.
#[derive(Debug)]
pub struct Picture {
    now: Timestamp,
    /// What the configuration says.
    config: crate::config::Power,
    directory: PathBuf,
    agent: Result<Box<Snapshot>, String>,
    /// `None`: none runs.
    guardian: Result<Option<Box<Status>>, String>,
    journal: Result<Originals, JournalError>,
}

/// Looks at agent, guardian and journal; writes nothing.
///
/// # Errors
/// When `--attach` is no address.
pub fn power(config: &Config, flags: &Flags) -> Result<Picture, ClientError> {
    let targets = match &flags.attach {
        Some(url) => vec![Target::parse(url)?],
        None => Target::of_config(config),
    };
    let mut agent = Err("no agent answers".to_owned());
    for target in targets {
        agent = Client::new(target).state().map(Box::new).map_err(|error| error.to_string());
        if agent.is_ok() {
            break;
        }
    }
    let guardian = match wire::ask(config.guardian_directory(), &Ask::Status, PATIENCE) {
        Ok(None) => Ok(None),
        Ok(Some(Answer::Status(status))) => Ok(Some(status)),
        Ok(Some(Answer::Refused { why, .. })) => Err(why),
        Ok(Some(_)) => Err("it is of another version".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Ok(Picture {
        now: MachineClock.now(),
        config: config.power.clone(),
        directory: config.guardian_directory().to_owned(),
        agent,
        guardian,
        journal: Journal::look(config.guardian_directory()),
    })
}

/// A knob in one word.
fn word(knob: Knob) -> &'static str {
    match knob {
        Knob::PowerLimit => "power",
        Knob::ClockMax => "clock",
        Knob::CpuQuota => "quota",
    }
}

impl Picture {
    /// For people, at most 80 letters wide where names are short.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.budget_text(&mut text);
        self.guardian_text(&mut text);
        self.journal_text(&mut text);
        self.rows_text(&mut text);
        text
    }

    fn budget_text(&self, text: &mut String) {
        let watts = |watts: Option<f64>| watts.map_or("none".to_owned(), |watts| format!("{watts:.0} W"));
        match &self.agent {
            Ok(snapshot) => {
                let _ = writeln!(text, "agent      {}, mode {}", snapshot.node.host, snapshot.mode.as_str());
                match &snapshot.power {
                    Some(power) => {
                        let share = 100.0 * power.counted.0 / power.budget.0;
                        let (budget, counted, stage) =
                            (power.budget.0, power.counted.0, power.stage.as_str());
                        let _ = writeln!(
                            text,
                            "budget     {budget:.0} W, counted {counted:.0} W ({share:.0} %), stage {stage}, over for {:.0} s",
                            power.over_budget_seconds
                        );
                        let troubles: Vec<_> =
                            power.troubles.iter().map(|trouble| trouble.as_str()).collect();
                        let none = if troubles.is_empty() { "none" } else { "" };
                        let _ = writeln!(text, "troubles   {none}{}", troubles.join("; "));
                    }
                    None => text.push_str("budget     none\n"),
                }
            }
            Err(why) => {
                let _ = writeln!(text, "agent      {why}");
                let (budget, word) =
                    (watts(self.config.budget_w), if self.config.enforce { "enforced" } else { "advised" });
                let _ = writeln!(text, "budget     {budget}, {word} (as configured)");
            }
        }
        let fallback = watts(self.config.fallback_w.or(self.config.budget_w));
        let _ = writeln!(
            text,
            "without    the agent: fallback {fallback}; a clean stop: {}",
            self.config.on_stop
        );
    }

    fn guardian_text(&self, text: &mut String) {
        let line = match &self.guardian {
            Ok(None) => "none runs".to_owned(),
            Err(why) => format!("does not answer: {why}"),
            Ok(Some(status)) => {
                let agent = match &status.agent {
                    Some(agent) => format!("agent {} attached", agent.pid),
                    None => "no agent attached".to_owned(),
                };
                let orphaned = if status.orphaned { ", holds on by itself" } else { "" };
                let refused =
                    status.refused.map_or(String::new(), |reason| format!(", refuses: {}", reason.as_str()));
                let lost = match status.audit_lost {
                    0 => String::new(),
                    lost => format!(", {lost} line(s) of the audit log lost"),
                };
                let strangers = match status.strangers {
                    0 => String::new(),
                    count => format!(", {count} stranger(s) refused"),
                };
                format!("process {}, {agent}{orphaned}{refused}{lost}{strangers}", status.guardian.pid)
            }
        };
        let _ = writeln!(text, "guardian   {line}");
    }

    fn journal_text(&self, text: &mut String) {
        let _ = match &self.journal {
            Ok(originals) => {
                writeln!(text, "journal    {} original(s) in {}", originals.len(), self.directory.display())
            }
            Err(error) => writeln!(text, "journal    {error}"),
        };
    }

    fn rows_text(&self, text: &mut String) {
        let rows = self.rows();
        if rows.is_empty() {
            text.push_str("\nnothing of wattkeeper's is in force\n");
            return;
        }
        let _ = writeln!(
            text,
            "\n{:<DEVICE_WIDTH$} {:<5} {:>8} {:>8} {:>8} {:<8} {:<6} why",
            "device", "knob", "original", "ours", "enforced", "since", "keep"
        );
        for row in rows {
            let value = |value: Option<f64>| value.map_or("?".to_owned(), |value| row.knob.say(value));
            let since = row.since.map_or("-".to_owned(), |since| moment(since.wall_ms, self.now.wall_ms));
            let (original, set, enforced) = (value(Some(row.original)), value(row.set), value(row.enforced));
            let _ = writeln!(
                text,
                "{:<DEVICE_WIDTH$} {:<5} {original:>8} {set:>8} {enforced:>8} {since:<8} {:<6} {}",
                self.name(&row.device),
                word(row.knob),
                row.keep.map_or("-", model::Keep::as_str),
                row.why.map_or("-", model::Why::as_str)
            );
        }
    }

    /// The caps that an agent has in force.
    fn rows_of(snapshot: &Snapshot, caps: &Caps) -> Vec<Row> {
        let row = |device, knob: Knob, (original, set): (f64, f64), (since, keep)| {
            let zone = snapshot.frame.devices.get(device).info.kind == DeviceKind::Zone;
            let limit = if zone { Metric::ZoneLimitLong } else { Metric::PowerLimitEnforced };
            let metric = (knob == Knob::PowerLimit).then_some(limit);
            let asked = |settled: &&Settled| {
                settled.decision.device == device && settled.decision.action.knob() == knob
            };
            Row {
                device: snapshot.frame.devices.get(device).info.key.clone(),
                knob,
                original,
                set: Some(set),
                enforced: metric.and_then(|metric| snapshot.frame.value(device, metric)),
                since: Some(since),
                keep: Some(keep),
                why: snapshot.decisions.iter().find(asked).map(|settled| settled.decision.why),
            }
        };
        let power = caps.power.iter().map(|cap| {
            row(cap.device, Knob::PowerLimit, (cap.original.0, cap.limit.0), (cap.since, cap.keep))
        });
        let clocks = caps
            .clocks
            .iter()
            .map(|cap| row(cap.device, Knob::ClockMax, (cap.original.0, cap.limit.0), (cap.since, cap.keep)));
        let quotas = caps
            .quotas
            .iter()
            .map(|cap| row(cap.device, Knob::CpuQuota, (cap.original.0, cap.limit.0), (cap.since, cap.keep)));
        power.chain(clocks).chain(quotas).collect()
    }

    /// Knobs of ours: from the guardian, else from an agent that keeps them itself, else as far as the journal knows them.
    fn rows(&self) -> Vec<Row> {
        if let Ok(Some(status)) = &self.guardian {
            return status.rows.clone();
        }
        if let Ok(snapshot) = &self.agent
            && let Some(power) = &snapshot.power
        {
            return Self::rows_of(snapshot, &power.caps);
        }
        let row = |((device, knob), original): (&(String, Knob), &Original)| Row {
            device: device.clone(),
            knob: *knob,
            original: original.value,
            set: None,
            enforced: None,
            since: None,
            keep: Some(original.keep),
            why: None,
        };
        self.journal.iter().flatten().map(row).collect()
    }

    /// The short name that the agent has for a device, else the beginning of its key.
    fn name(&self, key: &str) -> String {
        let named = self.agent.as_ref().ok().and_then(|snapshot| {
            snapshot
                .frame
                .devices
                .iter()
                .find(|device| device.info.key == key)
                .map(|device| device.info.name.clone())
        });
        let short = |name: String| {
            if name.chars().count() <= DEVICE_WIDTH {
                return name;
            }
            name.chars().take(DEVICE_WIDTH - 1).chain(['~']).collect()
        };
        short(named.unwrap_or_else(|| key.to_owned()))
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        let snapshot = self.agent.as_ref().ok();
        let guardian = self.guardian.as_ref().ok().and_then(Option::as_ref);
        let line = |((device, knob), original): (&(String, Knob), &Original)| json!({"device": device, "knob": knob.as_str(), "original": original.value, "keep": original.keep});
        let journal = self.journal.as_ref().map(|originals| originals.iter().map(line).collect::<Vec<_>>());
        json!({
            "at_ms": self.now.wall_ms,
            "mode": snapshot.map(|snapshot| snapshot.mode.as_str()),
            "power": snapshot.and_then(|snapshot| snapshot.power.as_ref()),
            "agent_silent": self.agent.as_ref().err(),
            "fallback_w": self.config.fallback_w.or(self.config.budget_w),
            "on_stop": self.config.on_stop,
            "guardian": guardian.map(|status| json!({
                "pid": status.guardian.pid,
                "version": status.guardian.version,
                "agent": status.agent,
                "orphaned": status.orphaned,
                "refused": status.refused,
                "audit_lost": status.audit_lost,
                "standing": status.guardian.standing,
                "strangers": status.strangers,
            })),
            "guardian_silent": self.guardian.as_ref().err(),
            "caps": self.rows(),
            "journal": journal.as_ref().ok(),
            "journal_fault": self.journal.as_ref().err().map(ToString::to_string),
        })
    }
}
