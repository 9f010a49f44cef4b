//! Who is on a device: names of processes, read once a process and kept in a bounded cache.
use crate::roots::Roots;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Names kept; past that, those longest unused go.
const NAMES_MAX: usize = 1024;
/// Turns after which a name that nobody asked for is forgotten, and a pid's owner is checked again.
const TURNS_KEPT: u64 = 10;

#[derive(Debug)]
struct Known {
    pid: u32,
    /// When the process started, in clock ticks since boot; tells a reused pid.
    started: u64,
    name: Arc<str>,
    asked: u64,
    checked: u64,
}

/// Names of processes by pid.
#[derive(Debug)]
pub struct Names {
    proc: PathBuf,
    known: Vec<Known>,
    turn: u64,
    nobody: Arc<str>,
}

impl Names {
    /// An empty cache over procfs.
    pub fn new(roots: &Roots) -> Self {
        Self { proc: roots.proc.clone(), known: Vec::new(), turn: 0, nobody: Arc::from("") }
    }

    /// Begins a beat and forgets what nobody asks for any more.
    pub fn turn(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        self.known.retain(|known| turn - known.asked <= TURNS_KEPT);
    }

    /// The command name of a process; empty when it cannot be read, as for a process of another pid namespace.
    pub fn name(&mut self, pid: u32) -> Arc<str> {
        let turn = self.turn;
        if let Some(known) = self.known.iter_mut().find(|known| known.pid == pid) {
            known.asked = turn;
            if turn - known.checked < TURNS_KEPT {
                return Arc::clone(&known.name);
            }
        }
        let Some((started, name)) = self.read(pid) else {
            self.known.retain(|known| known.pid != pid);
            return Arc::clone(&self.nobody);
        };
        match self.known.iter_mut().find(|known| known.pid == pid) {
            Some(known) if known.started == started && *known.name == *name => known.checked = turn,
            Some(known) => (known.started, known.name, known.checked) = (started, Arc::from(name), turn),
            None => self.add(Known { pid, started, name: Arc::from(name), asked: turn, checked: turn }),
        }
        self.known
            .iter()
            .find(|known| known.pid == pid)
            .map_or(Arc::clone(&self.nobody), |known| Arc::clone(&known.name))
    }

    fn add(&mut self, known: Known) {
        if self.known.len() == NAMES_MAX {
            let oldest =
                self.known.iter().enumerate().min_by_key(|(_, known)| known.asked).map(|(place, _)| place);
            if let Some(place) = oldest {
                self.known.swap_remove(place);
            }
        }
        self.known.push(known);
    }

    /// Start time and command name from `stat`, whose name stands in brackets and may hold any character.
    fn read(&self, pid: u32) -> Option<(u64, String)> {
        let bytes = fs::read(self.proc.join(pid.to_string()).join("stat")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let name = text.get(open + 1..close)?.to_owned();
        // Field 22 is the start time; the state, field 3, comes first behind the name.
        let started = text.get(close + 1..)?.split_whitespace().nth(19)?.parse().ok()?;
        Some((started, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(root: &std::path::Path, pid: u32, name: &str, started: u64) {
        let dir = root.join("proc").join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let zeros = "0 ".repeat(18);
        fs::write(dir.join("stat"), format!("{pid} ({name}) S {zeros}{started} 0 0\n")).unwrap();
    }

    #[test]
    fn a_name_may_hold_brackets_and_a_reused_pid_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        process(home.path(), 42, "py (3) x", 100);
        let mut names = Names::new(&Roots::below(home.path()));
        assert_eq!(&*names.name(42), "py (3) x");
        process(home.path(), 42, "other", 200);
        assert_eq!(&*names.name(42), "py (3) x", "within a few beats the cache answers");
        for _ in 0..TURNS_KEPT {
            names.turn();
            names.name(42);
        }
        assert_eq!(&*names.name(42), "other");
    }

    #[test]
    fn a_process_that_cannot_be_seen_has_no_name() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(&*Names::new(&Roots::below(home.path())).name(7), "");
    }

    #[test]
    fn the_cache_is_bounded() {
        let home = tempfile::tempdir().unwrap();
        let mut names = Names::new(&Roots::below(home.path()));
        for pid in 1..=NAMES_MAX as u32 + 50 {
            process(home.path(), pid, "p", 1);
            names.name(pid);
        }
        assert_eq!(names.known.len(), NAMES_MAX);
    }
}
