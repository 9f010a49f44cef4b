//! What the host's memory holds: jobs, leaks, pools that fill and stop, and the page cache, which gives way to all others.
use crate::fault::Fault;

/// Share of its memory that the host loses to a leak each second, and a control group: five percent in twenty minutes.
const LEAK_PER_S: f64 = 4e-5;
/// The most that a leak takes, as a share.
const LEAK_MAX: f64 = 0.65;
/// What a cache or a pool fills, as a share of its group's memory, and the time constant with which it does, in seconds.
const FILL: f64 = 0.5;
const FILL_S: f64 = 600.0;
/// Time constants with which a job takes the host's memory and an ended one gives it back, in seconds. Assumptions: workers that
/// start one after another, and a kernel that frees what it has.
const START_S: f64 = 60.0;
const END_S: f64 = 3.0;
/// What the page cache of a working job's data fills, as a share of its group's memory, and with which time constant, in seconds.
/// It stays when the job ends, as a page cache does.
const DATA: f64 = 0.2;
const DATA_S: f64 = 900.0;
/// The same of everything else that is read, as a share of the node's memory.
const READ: f64 = 0.3;
const READ_S: f64 = 14_400.0;

/// The state, plain old data. By NUMA node where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Held {
    /// What leaks of the host's services hold, as a share of its memory.
    pub host: f64,
    /// What leaks of a control group hold, as a share of the group's memory.
    pub leaked: [f64; 2],
    /// What a pool of a control group's process holds, likewise.
    pub pooled: [f64; 2],
    /// What a control group's page cache would hold if there were room, likewise.
    pub cached: [f64; 2],
    /// How much of what a working job takes of the host's memory is taken, 0 to 1.
    pub taken: [f64; 2],
    /// What the page cache outside of the groups would hold if there were room, as a share of the node's memory.
    pub read: f64,
}

impl Held {
    /// The faults that it follows.
    pub(crate) const FAULTS: [Fault; 4] =
        [Fault::HostLeak, Fault::GroupLeak, Fault::CacheFills, Fault::PoolFills];

    /// What is held some seconds later, at most a minute, by NUMA node. `has`: which of [`Held::FAULTS`] there are. `works`: the share of
    /// the boards that have work. What is mended is given back.
    pub(crate) fn later(self, seconds: f64, has: [[bool; 4]; 2], works: [f64; 2]) -> Self {
        let toward =
            |held: f64, goal: f64, constant_s: f64| held + (goal - held) * (seconds / constant_s).min(1.0);
        let leak = |held: f64, leaks: bool| {
            if leaks { (held + LEAK_PER_S * seconds).min(LEAK_MAX) } else { 0.0 }
        };
        let data = |group: usize| {
            let (held, fills) = (self.cached[group], has[group][2]);
            if fills {
                return toward(held, DATA + FILL, FILL_S);
            }
            // Nothing is read where nothing works, and what is cached stays.
            if works[group] > 0.0 { toward(held.min(DATA), DATA, DATA_S) } else { held.min(DATA) }
        };
        let take = |group: usize| {
            let (held, goal) = (self.taken[group], works[group]);
            toward(held, goal, if goal > held { START_S } else { END_S })
        };
        let pool = |group: usize| {
            if has[group][3] { toward(self.pooled[group], FILL, FILL_S) } else { 0.0 }
        };
        Self {
            host: leak(self.host, has[0][0] || has[1][0]),
            leaked: [0, 1].map(|group| leak(self.leaked[group], has[group][1])),
            pooled: [0, 1].map(pool),
            cached: [0, 1].map(data),
            taken: [0, 1].map(take),
            read: toward(self.read, READ, READ_S),
        }
    }
}
