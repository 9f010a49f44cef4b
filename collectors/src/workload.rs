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
    fn a_program_that_is_replaced_by_another_takes_its_name() {
        let home = tempfile::tempdir().unwrap();
        process(home.path(), 42, "sh", 100);
        let mut names = Names::new(&Roots::below(home.path()));
        names.name(42);
        process(home.path(), 42, "python3", 100);
        (0..TURNS_KEPT).for_each(|_| names.turn());
        assert_eq!(&*names.name(42), "python3", "the start time stays the same over exec");
    }

    #[test]
    fn a_name_that_nobody_asks_for_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        process(home.path(), 1, "asked", 1);
        process(home.path(), 2, "left", 1);
        let mut names = Names::new(&Roots::below(home.path()));
        names.name(2);
        for _ in 0..=TURNS_KEPT {
            names.name(1);
            names.turn();
        }
        assert_eq!(names.known.iter().map(|known| known.pid).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_process_that_ended_loses_its_name() {
        let home = tempfile::tempdir().unwrap();
        process(home.path(), 42, "gone", 1);
        let mut names = Names::new(&Roots::below(home.path()));
        names.name(42);
        fs::remove_dir_all(home.path().join("proc/42")).unwrap();
        (0..TURNS_KEPT).for_each(|_| names.turn());
        assert_eq!(&*names.name(42), "");
        assert!(names.known.is_empty());
    }

    #[test]
    fn damaged_files_give_no_name() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("proc/7")).unwrap();
        let mut names = Names::new(&Roots::below(home.path()));
        for text in [&b""[..], b"7", b"7 (", b"7 (a", b")(", b"7 (a) S 1 2", b"7 (\xff) S x", b"\xff\xfe"] {
            fs::write(home.path().join("proc/7/stat"), text).unwrap();
            assert_eq!(&*names.name(7), "", "{text:?}");
        }
    }

    #[test]
    fn this_process_has_the_name_that_the_kernel_gives_it() {
        let mut names = Names::new(&Roots::default());
        // The thread whose id is the process's own bears the name.
        let comm = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap();
        assert_eq!(&*names.name(std::process::id()), comm.trim_end());
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
