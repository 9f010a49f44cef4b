//! The world behind a fake vendor library that lives in one process: a node of that vendor's boards, time, and what goes wrong.
//!
//! A fake library has one [`World`] in a static, runs each function of its interface through [`World::call`], and exports one
//! function that steers it with a line of text, so that a test reaches the copy of the library that the collector has loaded.
use rustix::thread::nanosleep;
use rustix::time::{ClockId, Timespec, clock_gettime};
use sim::{Board, Fault, Node, Profile, Workload};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// From one look to the next while a call hangs, in nanoseconds.
const POLL_NS: u64 = 5_000_000;

/// Everything that can be steered.
#[derive(Debug)]
pub struct State {
    /// The boards, and nothing else.
    pub node: Node,
    /// The position in the driver's list of each board.
    pub order: Vec<usize>,
    /// The board whose identity each board gives.
    pub identity: Vec<usize>,
    /// Error codes that boards report, by board.
    pub codes: BTreeMap<usize, Vec<u32>>,
    /// Switches of the vendor's own, by name.
    pub switches: BTreeMap<String, i64>,
    started: bool,
    hung: Vec<Hung>,
    failures: BTreeMap<String, c_int>,
    /// Simulated time where it is held, in nanoseconds; else it follows the machine's.
    held_ns: Option<u64>,
}

/// What hangs: one function or all, for one board or all.
#[derive(Debug, PartialEq, Eq)]
struct Hung {
    function: Option<String>,
    board: Option<usize>,
}

/// A node behind a library.
#[derive(Debug)]
pub struct World {
    profile: &'static Profile,
    boards: usize,
    state: OnceLock<Mutex<State>>,
}

fn real_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock is never negative.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

fn pause() {
    // Far below i64::MAX.
    let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: POLL_NS.cast_signed() });
}

impl World {
    /// A world of idle boards of one product.
    pub const fn new(profile: &'static Profile, boards: usize) -> Self {
        Self { profile, boards, state: OnceLock::new() }
    }

    /// The state, stepped to the present.
    pub fn enter(&self) -> MutexGuard<'_, State> {
        let fresh = || {
            let node = Node::new(self.profile, self.boards, 1, real_ns());
            let own: Vec<usize> = (0..self.boards).collect();
            Mutex::new(State {
                node,
                order: own.clone(),
                identity: own,
                codes: BTreeMap::new(),
                switches: BTreeMap::new(),
                started: false,
                hung: Vec::new(),
                failures: BTreeMap::new(),
                held_ns: None,
            })
        };
        let mut state = self.state.get_or_init(fresh).lock().unwrap_or_else(PoisonError::into_inner);
        let now_ns = state.held_ns.unwrap_or_else(real_ns);
        state.node.step_to(now_ns);
        state
    }

    /// Runs one function: waits while it hangs, returns the code it was made to return, else does the work.
    ///
    /// `board`: the board that it is about, as an index of the node. `unstarted`: what it returns before the library is started.
    pub fn call(
        &self,
        function: &str,
        board: Option<usize>,
        unstarted: Option<c_int>,
        work: impl FnOnce(&mut State) -> c_int,
    ) -> c_int {
        loop {
            let mut state = self.enter();
            if state.hangs(function, board) {
                drop(state);
                pause();
                continue;
            }
            if let Some(code) = unstarted.filter(|_| !state.started) {
                return code;
            }
            return match state.failures.get(function) {
                Some(code) => *code,
                None => work(&mut state),
            };
        }
    }

    /// Counts the library as started, or as ended.
    pub fn start(&self, started: bool) {
        self.enter().started = started;
    }

    /// Steers the world with one line; `false` when the line is not understood.
    ///
    /// `load BOARD WORKLOAD`, `inject|heal BOARD FAULT`, `hang|release [BOARD] [FUNCTION]`, `fail FUNCTION CODE`,
    /// `code BOARD NUMBER`, `uncode BOARD`, `ecc BOARD CORRECTED UNCORRECTED`, `hold`, `advance MILLISECONDS`,
    /// `order BOARD…`, `impersonate BOARD WHOM`, `switch NAME NUMBER`.
    pub fn steer(&self, line: &str) -> bool {
        let mut state = self.enter();
        let words: Vec<&str> = line.split_whitespace().collect();
        state.obey(&words).is_some()
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

impl State {
    /// A board by its position in the driver's list; `None` beyond the list.
    pub fn listed(&self, place: usize) -> Option<usize> {
        self.order.get(place).copied()
    }

    /// A board.
    pub fn board(&self, index: usize) -> &Board {
        &self.node.boards()[index]
    }

    /// The identity that a board gives.
    pub fn uuid(&self, index: usize) -> String {
        self.node.uuid(self.identity.get(index).copied().unwrap_or(index))
    }

    /// A switch of the vendor's own; 0 when it was never set.
    pub fn switch(&self, name: &str) -> i64 {
        self.switches.get(name).copied().unwrap_or(0)
    }

    fn hangs(&self, function: &str, board: Option<usize>) -> bool {
        let by_board = board.is_some_and(|index| self.board(index).has(Fault::Hang));
        let matches = |hung: &Hung| {
            hung.function.as_deref().is_none_or(|name| name == function)
                && hung.board.is_none_or(|index| Some(index) == board)
        };
        by_board || self.hung.iter().any(matches)
    }

    fn obey(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["load", board, workload] => {
                let workload = Workload::named(workload)?;
                self.node.board_mut(number(board)?)?.set_workload(workload);
            }
            ["inject", board, fault] => self.node.board_mut(number(board)?)?.inject(Fault::named(fault)?),
            ["heal", board, fault] => self.node.board_mut(number(board)?)?.heal(Fault::named(fault)?),
            ["hang", rest @ ..] => self.hung.push(hung(rest)?),
            ["release", rest @ ..] => {
                let wanted = hung(rest)?;
                self.hung.retain(|known| *known != wanted);
            }
            ["fail", function, "0"] => drop(self.failures.remove(*function)),
            ["fail", function, code] => drop(self.failures.insert((*function).to_owned(), number(code)?)),
            ["code", board, code] => self.codes.entry(number(board)?).or_default().push(number(code)?),
            ["uncode", board] => drop(self.codes.remove(&number::<usize>(board)?)),
            ["ecc", board, corrected, uncorrected] => {
                self.node.board_mut(number(board)?)?.ecc = [number(corrected)?, number(uncorrected)?];
            }
            ["hold"] => self.held_ns = Some(self.held_ns.unwrap_or_else(real_ns)),
            ["advance", by_ms] => {
                let by_ns = number::<u64>(by_ms)?.checked_mul(1_000_000)?;
                let now_ns = self.held_ns.unwrap_or_else(real_ns).checked_add(by_ns)?;
                self.held_ns = Some(now_ns);
                self.node.step_to(now_ns);
            }
            ["order", boards @ ..] => {
                let order: Option<Vec<usize>> = boards.iter().map(|board| number(board)).collect();
                self.order = order.filter(|order| order.iter().all(|index| *index < self.identity.len()))?;
            }
            ["impersonate", board, whom] => *self.identity.get_mut(number::<usize>(board)?)? = number(whom)?,
            ["switch", name, value] => drop(self.switches.insert((*name).to_owned(), number(value)?)),
            _ => return None,
        }
        Some(())
    }
}

/// What hangs, from `[BOARD] [FUNCTION]`.
fn hung(words: &[&str]) -> Option<Hung> {
    match words {
        [] => Some(Hung { function: None, board: None }),
        [one] => Some(match number(one) {
            Some(board) => Hung { function: None, board: Some(board) },
            None => Hung { function: Some((*one).to_owned()), board: None },
        }),
        [board, function] => {
            Some(Hung { function: Some((*function).to_owned()), board: Some(number(board)?) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WORLD: World = World::new(&sim::profile::GAUDI2, 2);

    #[test]
    fn a_world_is_steered_by_lines_and_calls_fail_as_told() {
        assert!(WORLD.steer("hold") && WORLD.steer("load 1 training") && WORLD.steer("advance 3000"));
        let powers: Vec<_> = WORLD.enter().node.boards().iter().map(|board| board.power_w).collect();
        assert!(powers[1] > 2.0 * powers[0], "{powers:?}");
        assert_eq!(WORLD.call("f", None, Some(9), |_| 0), 9, "not started");
        WORLD.start(true);
        assert!(WORLD.steer("fail f 7"));
        assert_eq!(WORLD.call("f", None, Some(9), |_| 0), 7);
        assert!(WORLD.steer("fail f 0"));
        assert_eq!(WORLD.call("f", None, Some(9), |_| 0), 0);
        for nonsense in ["", "load 9 training", "load 0 dancing", "advance x", "order 5", "jump"] {
            assert!(!WORLD.steer(nonsense), "{nonsense}");
        }
    }

    #[test]
    fn a_call_hangs_until_it_is_released() {
        static WORLD: World = World::new(&sim::profile::GAUDI2, 2);
        assert!(WORLD.steer("hang 1 read"));
        assert_eq!(WORLD.call("read", Some(0), None, |_| 0), 0);
        let waiter = std::thread::spawn(|| WORLD.call("read", Some(1), None, |_| 4));
        assert!(!waiter.is_finished());
        assert!(WORLD.steer("release 1 read"));
        assert_eq!(waiter.join().unwrap(), 4);
    }
}
