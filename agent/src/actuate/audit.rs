//! The audit log: a line for every order, with its reason and the evidence, in `power.audit` of the state directory.
//!
//! JSON lines, bounded: a full file becomes `power.audit.1` in place of the one before. A line that cannot be written is
//! counted and holds nobody up: power comes first.
use model::snapshot::PowerStage;
use model::{Decision, Knob, Outcome, Reason, Verdict, Watts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file in the state directory.
const FILE: &str = "power.audit";
/// Bytes of one file; there are two. About 10,000 orders each.
const BYTES_MAX: u64 = 4 << 20;

/// What the beat knew of the budget when it decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The total that thresholds are compared with.
    pub counted: Watts,
    /// The budget.
    pub budget: Watts,
    /// How hard power is held.
    pub stage: PowerStage,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in wall-clock milliseconds.
    pub at_ms: i64,
    /// The device.
    pub device: String,
    /// The knob.
    pub knob: Knob,
    /// The agent's number of the decision; 0: decided between beats or without an agent.
    pub decision: u64,
    /// What was wanted.
    pub action: String,
    /// Why.
    pub why: String,
    /// What the beat knew.
    pub evidence: Option<Evidence>,
    /// The value in force before.
    pub before: Option<f64>,
    /// The value that was ordered, after the guard.
    pub ordered: Option<f64>,
    /// The value in force after, read back.
    pub read_back: Option<f64>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was refused or failed.
    pub reason: Option<Reason>,
}

/// The open log.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
    lost: u64,
    /// The last verdict of each device that was no write, so that what repeats on every beat is said once.
    quiet: BTreeMap<(String, Knob), (Verdict, Option<Reason>)>,
}

impl Audit {
    /// The log of a state directory. Its file is opened with the first line.
    pub fn new(directory: &Path) -> Self {
        Self::bounded(directory, BYTES_MAX)
    }

    fn bounded(directory: &Path, bytes_max: u64) -> Self {
        let (path, quiet) = (directory.join(FILE), BTreeMap::new());
        Self { path, file: None, bytes: 0, bytes_max, lost: 0, quiet }
    }

    /// Lines that could not be written since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Notes what became of a decision about a device, with the position before it and what the beat knew. Advice is none of
    /// its business.
    pub fn note(
        &mut self,
        device: &str,
        decision: &Decision,
        outcome: &Outcome,
        (before, evidence): (Option<f64>, Option<Evidence>),
    ) {
        let written = outcome.verdict == Verdict::Applied;
        let name = (device.to_owned(), decision.action.knob());
        let state = (outcome.verdict, outcome.reason);
        let repeats = !written && self.quiet.get(&name) == Some(&state);
        if outcome.verdict == Verdict::Advised || repeats {
            return;
        }
        if written {
            self.quiet.remove(&name);
        } else {
            self.quiet.insert(name, state);
        }
        self.write(&Entry {
            at_ms: outcome.at.wall_ms,
            device: device.to_owned(),
            knob: decision.action.knob(),
            decision: decision.id,
            action: decision.action.as_str().to_owned(),
            why: decision.why.as_str().to_owned(),
            evidence,
            before,
            ordered: outcome.ordered,
            read_back: outcome.read_back,
            verdict: outcome.verdict,
            reason: outcome.reason,
        });
    }

    /// Writes a line, or counts it.
    pub fn write(&mut self, entry: &Entry) {
        if let Err(error) = self.append(entry) {
            if self.lost == 0 {
                tracing::warn!("the audit log {} cannot be written: {error}", self.path.display());
            }
            self.lost += 1;
            // What was cut off must not swallow the next line, and a file that was taken away is made anew.
            self.file = None;
        }
    }

    fn append(&mut self, entry: &Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if self.bytes + line.len() as u64 > self.bytes_max && self.file.is_some() {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.open()?;
            if self.bytes + line.len() as u64 > self.bytes_max {
                self.rotate()?;
                self.open()?;
            }
        }
        if let Some(file) = &mut self.file {
            file.write_all(&line)?;
            self.bytes += line.len() as u64;
        }
        Ok(())
    }

    fn open(&mut self) -> std::io::Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        self.bytes = file.metadata()?.len();
        if self.bytes > 0 {
            // A predecessor may have died in the middle of a line; readers skip empty ones.
            file.write_all(b"\n")?;
            self.bytes += 1;
        }
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        self.file = None;
        let mut old = self.path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(&self.path, PathBuf::from(old))?;
        self.bytes = 0;
        self.open()
    }
}

/// The lines of a state directory's log, oldest first. Damaged ones are left out.
pub fn read(directory: &Path) -> Vec<Entry> {
    let file = |name: String| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let text = file(format!("{FILE}.1")) + "\n" + &file(FILE.to_owned());
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Action, DeviceInfo, DeviceKind, DeviceTable, Keep, Mode, Timestamp, Why};
    use std::sync::Arc;

    fn decision(id: u64) -> Decision {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        let (at, action) = (Timestamp::default(), Action::Limit(Watts(300.0)));
        let (why, keep, mode) = (Why::OverHigh, Keep::Safety, Mode::Enforce);
        Decision { id, at, device, action, why, event: None, expires: None, keep, mode }
    }

    fn outcome(verdict: Verdict, reason: Option<Reason>) -> Outcome {
        let at = Timestamp { mono_ns: 0, wall_ms: 1000 };
        Outcome { decision: 1, at, verdict, reason, ordered: Some(300.0), read_back: Some(300.0) }
    }

    const EVIDENCE: Evidence =
        Evidence { counted: Watts(4600.0), budget: Watts(4500.0), stage: PowerStage::High };

    #[test]
    fn an_order_is_told_with_reason_and_evidence_and_what_repeats_is_told_once() {
        let home = tempfile::tempdir().unwrap();
        let mut audit = Audit::new(home.path());
        let failed = outcome(Verdict::Failed, Some(Reason::Denied));
        for told in [outcome(Verdict::Applied, None), failed, failed, outcome(Verdict::Applied, None), failed]
        {
            audit.note("GPU-a", &decision(7), &told, (Some(700.0), Some(EVIDENCE)));
        }
        audit.note("GPU-a", &decision(8), &outcome(Verdict::Advised, None), (None, None));
        let lines = read(home.path());
        let verdicts: Vec<_> = lines.iter().map(|line| line.verdict).collect();
        assert_eq!(verdicts, [Verdict::Applied, Verdict::Failed, Verdict::Applied, Verdict::Failed]);
        let first = &lines[0];
        assert_eq!(
            (first.decision, first.why.as_str(), first.evidence),
            (7, "over high threshold", Some(EVIDENCE))
        );
        assert_eq!((first.before, first.ordered, first.read_back), (Some(700.0), Some(300.0), Some(300.0)));
    }

    #[test]
    fn it_never_grows_past_two_files_and_keeps_the_newest() {
        let home = tempfile::tempdir().unwrap();
        let mut audit = Audit::bounded(home.path(), 4096);
        for id in 0..200 {
            audit.note("GPU-a", &decision(id), &outcome(Verdict::Applied, None), (None, None));
        }
        let sizes: Vec<u64> =
            fs::read_dir(home.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 4096), "{sizes:?}");
        let lines = read(home.path());
        assert_eq!(lines.last().unwrap().decision, 199);
        assert!(lines.windows(2).all(|pair| pair[0].decision + 1 == pair[1].decision));
        assert_eq!(audit.lost(), 0);
        let mut next = Audit::bounded(home.path(), 4096);
        next.note("GPU-a", &decision(200), &outcome(Verdict::Applied, None), (None, None));
        assert_eq!(read(home.path()).last().unwrap().decision, 200, "a next run goes on");
    }

    #[test]
    fn a_full_disk_is_counted_and_the_log_goes_on_when_there_is_room() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut audit = Audit::new(home.path());
        audit.note("GPU-a", &decision(1), &outcome(Verdict::Applied, None), (None, None));
        assert_eq!(audit.lost(), 1);
        fs::remove_file(&path).unwrap();
        audit.note("GPU-a", &decision(2), &outcome(Verdict::Applied, None), (None, None));
        assert_eq!((audit.lost(), read(home.path()).len()), (1, 1));
    }

    #[test]
    fn a_line_that_a_death_cut_off_costs_that_line_only() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(FILE), "{\"at_ms\":12,\"dev").unwrap();
        Audit::new(home.path()).note("GPU-a", &decision(3), &outcome(Verdict::Applied, None), (None, None));
        assert_eq!(read(home.path()).len(), 1);
    }
}
