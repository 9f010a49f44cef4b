//! Processes that wait in the kernel and cannot be interrupted (state D), looked at now and then: those on accelerators, and
//! those of NVIDIA's driver, which hold no accelerator and hang with it.
use super::files::Files;
use crate::roots::Roots;
use model::{Absence, Timestamp};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Seconds from one look to the next.
const LOOK_S: f64 = 10.0;
/// Seconds between two looks past which nobody knows what was in between, and counting begins anew: two of the longest beats
/// and half of one.
const GAP_MAX_S: f64 = 150.0;
/// Processes followed at once, as many as a frame carries; further ones are not looked at.
const PROCESSES_MAX: usize = model::frame::PROCESSES_MAX;
/// Processes of the driver followed at once.
const DRIVER_MAX: usize = 64;
/// Processes of the node whose names are read at one look; the next look goes on behind them. On a node of 5,000 each is met
/// within 200 s, which is less than the rule waits.
const NAMES_MAX: usize = 256;
/// How names of the driver's own programs and threads begin.
const DRIVER: &str = "nvidia";

/// One process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    /// When it started, in clock ticks since boot; tells a reused pid.
    started: u64,
    /// The first of the looks in a row at which it was blocked.
    since: Option<Timestamp>,
    /// When it was last looked at.
    at: Timestamp,
    /// Seconds for which it has been blocked at every look; `None` when it cannot be seen.
    blocked_s: Option<f64>,
    /// The last round in which somebody asked for it.
    asked: u64,
}

/// Blocked processes by pid. Looks are rounds: each process is read once a round, whoever asks.
#[derive(Debug)]
pub struct Blocked {
    files: Files,
    proc: PathBuf,
    known: BTreeMap<u32, Known>,
    driver: Vec<u32>,
    /// Seconds for which a process of the driver is blocked, or why nobody knows.
    driver_s: Result<f64, Absence>,
    /// Where the next look for names begins.
    next: u32,
    pids: Vec<u32>,
    began: Option<Timestamp>,
    round: u64,
}

impl Blocked {
    /// Nobody is known yet.
    pub fn new(roots: &Roots) -> Self {
        Self {
            files: Files::new(roots),
            proc: roots.proc.clone(),
            known: BTreeMap::new(),
            driver: Vec::new(),
            driver_s: Err(Absence::Unsupported),
            next: 0,
            pids: Vec::new(),
            began: None,
            round: 0,
        }
    }

    /// Begins a beat: every ten seconds it is the first of a new look. Then the driver's own processes are looked at too.
    pub fn turn(&mut self, now: Timestamp) {
        if self.began.is_some_and(|began| now.seconds_since(began) < LOOK_S) {
            return;
        }
        self.began = Some(now);
        let round = self.round;
        self.known.retain(|_, known| known.asked == round);
        self.round += 1;
        self.driver_s = self.look_for_driver(now);
    }

    /// Seconds for which a process has been blocked at every look; `None` when it cannot be seen, or too many are there.
    pub fn of(&mut self, pid: u32, now: Timestamp) -> Option<f64> {
        if let Some(known) = self.known.get(&pid).filter(|known| known.asked == self.round) {
            return known.blocked_s;
        }
        let before = self.known.get(&pid).copied();
        if before.is_none() && self.known.len() >= PROCESSES_MAX {
            return None;
        }
        let known = self.look(pid, before, now);
        self.known.insert(pid, known);
        known.blocked_s
    }

    fn look(&mut self, pid: u32, before: Option<Known>, now: Timestamp) -> Known {
        let asked = self.round;
        let Some(stat) = self.files.stat(pid) else {
            return Known { started: 0, since: None, at: now, blocked_s: None, asked };
        };
        let same = |known: &Known| known.started == stat.started && now.seconds_since(known.at) <= GAP_MAX_S;
        let blocked = stat.state == b'D';
        let since = blocked.then(|| before.filter(same).and_then(|known| known.since).unwrap_or(now));
        let blocked_s = since.map_or(0.0, |since| now.seconds_since(since));
        Known { started: stat.started, since, at: now, blocked_s: Some(blocked_s), asked }
    }

    /// Seconds for which one of the driver's own processes has been blocked at every look; the longest.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn driver(&self) -> Result<f64, Absence> {
        self.driver_s
    }

    fn look_for_driver(&mut self, now: Timestamp) -> Result<f64, Absence> {
        self.meet_driver()?;
        let mut driver = std::mem::take(&mut self.driver);
        let mut longest = 0.0;
        driver.retain(|pid| {
            let own = self.files.stat(*pid).is_some_and(|stat| stat.name.starts_with(DRIVER));
            let blocked_s = if own { self.of(*pid, now) } else { None };
            longest = f64::max(longest, blocked_s.unwrap_or(0.0));
            blocked_s.is_some()
        });
        self.driver = driver;
        Ok(longest)
    }

    /// Reads some more names of the node's processes.
    fn meet_driver(&mut self) -> Result<(), Absence> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Absence::Denied,
            _ => Absence::Unsupported,
        };
        self.pids.clear();
        let entries = std::fs::read_dir(&self.proc).map_err(failed)?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        self.pids.extend(pids);
        self.pids.sort_unstable();
        let first = self.pids.partition_point(|pid| *pid < self.next);
        let order = (first..self.pids.len()).chain(0..first).take(NAMES_MAX);
        for place in order {
            let pid = self.pids[place];
            self.next = pid.saturating_add(1);
            let named = self.files.stat(pid).is_some_and(|stat| stat.name.starts_with(DRIVER));
            if named && self.driver.len() < DRIVER_MAX && !self.driver.contains(&pid) {
                self.driver.push(pid);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    fn process(proc: &Path, pid: u32, name: &str, state: char, started: u64) {
        let folder = proc.join(pid.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let zeros = "0 ".repeat(18);
        std::fs::write(folder.join("stat"), format!("{pid} ({name}) {state} {zeros}{started} 0 0\n"))
            .unwrap();
    }

    fn bench() -> (tempfile::TempDir, Blocked) {
        let home = tempfile::tempdir().unwrap();
        let roots = Roots { proc: home.path().to_owned(), ..Roots::default() };
        let blocked = Blocked::new(&roots);
        (home, blocked)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(1000 + seconds))
    }

    fn seen(blocked: &mut Blocked, seconds: u64, pid: u32) -> Option<f64> {
        blocked.turn(at(seconds));
        blocked.of(pid, at(seconds))
    }

    #[test]
    fn seconds_count_from_the_first_look_at_which_it_was_blocked_and_only_at_looks() {
        let (home, mut blocked) = bench();
        process(home.path(), 7, "train", 'S', 5);
        assert_eq!(seen(&mut blocked, 0, 7), Some(0.0));
        process(home.path(), 7, "train", 'D', 5);
        assert_eq!(seen(&mut blocked, 9, 7), Some(0.0), "not looked at again yet");
        assert_eq!(seen(&mut blocked, 10, 7), Some(0.0));
        assert_eq!(seen(&mut blocked, 20, 7), Some(10.0));
        assert_eq!(seen(&mut blocked, 30, 7), Some(20.0));
        process(home.path(), 7, "train", 'R', 5);
        assert_eq!(seen(&mut blocked, 40, 7), Some(0.0), "it moved on");
        process(home.path(), 7, "train", 'D', 5);
        assert_eq!(seen(&mut blocked, 50, 7), Some(0.0));
    }

    #[test]
    fn another_process_with_the_number_and_a_long_gap_begin_anew_and_what_cannot_be_seen_is_not_well() {
        let (home, mut blocked) = bench();
        process(home.path(), 7, "a ) b", 'D', 5);
        seen(&mut blocked, 0, 7);
        assert_eq!(seen(&mut blocked, 10, 7), Some(10.0));
        process(home.path(), 7, "a ) b", 'D', 6);
        assert_eq!(seen(&mut blocked, 20, 7), Some(0.0), "another start, another process");
        assert_eq!(seen(&mut blocked, 80, 7), Some(60.0), "a beat a minute");
        assert_eq!(seen(&mut blocked, 300, 7), Some(0.0), "nobody looked for long");
        assert_eq!(seen(&mut blocked, 310, 8), None);
        assert_eq!(seen(&mut blocked, 320, 7), Some(0.0), "not asked for in between, so not at every look");
    }

    #[test]
    fn the_drivers_own_processes_are_found_among_many_and_lost_when_they_end() {
        let (home, mut blocked) = bench();
        for pid in 1..=2 * NAMES_MAX as u32 {
            process(home.path(), pid, "sh", 'D', 1);
        }
        let pid = 2 * NAMES_MAX as u32 + 9;
        process(home.path(), pid, "nvidia-smi", 'D', 5);
        let driver = |blocked: &mut Blocked, seconds| {
            blocked.turn(at(seconds));
            blocked.driver()
        };
        assert_eq!(driver(&mut blocked, 0), Ok(0.0), "others are not its own");
        assert_eq!(driver(&mut blocked, 10), Ok(0.0));
        assert_eq!(driver(&mut blocked, 20), Ok(0.0), "met at the third look");
        assert_eq!(driver(&mut blocked, 30), Ok(10.0));
        std::fs::remove_dir_all(home.path().join(pid.to_string())).unwrap();
        assert_eq!(driver(&mut blocked, 40), Ok(0.0));
        drop(home);
        assert_eq!(driver(&mut blocked, 50), Err(Absence::Unsupported));
    }
}
