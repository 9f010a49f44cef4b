//! What the host's memory holds beside what boards and groups usually need: leaks, and a cache that fills and stops.
use crate::fault::Fault;

/// Share of its memory that the host loses to a leak each second, and a control group: five percent in twenty minutes.
const LEAK_PER_S: f64 = 4e-5;
/// The most that a leak takes, as a share.
const LEAK_MAX: f64 = 0.65;
/// What a cache fills, as a share of its group's memory, and the time constant with which it does, in seconds.
const CACHE: f64 = 0.5;
const CACHE_S: f64 = 600.0;

/// The state, plain old data. By NUMA node where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Held {
    /// What leaks of the host's services hold, as a share of its memory.
    pub host: f64,
    /// What leaks of a control group hold, as a share of the group's memory.
    pub leaked: [f64; 2],
    /// What a control group's cache holds, likewise.
    pub cached: [f64; 2],
}

impl Held {
    /// The faults that it follows.
    pub(crate) const FAULTS: [Fault; 3] = [Fault::HostLeak, Fault::GroupLeak, Fault::CacheFills];

    /// What is held some seconds later, at most a minute. `has`: which of [`Held::FAULTS`] there are, by NUMA node. What is mended is given back.
    pub(crate) fn later(self, seconds: f64, has: [[bool; 3]; 2]) -> Self {
        let leak = |held: f64, leaks: bool| {
            if leaks { (held + LEAK_PER_S * seconds).min(LEAK_MAX) } else { 0.0 }
        };
        let fill = |held: f64, fills: bool| {
            if fills { held + (CACHE - held) * seconds / CACHE_S } else { 0.0 }
        };
        Self {
            host: leak(self.host, has[0][0] || has[1][0]),
            leaked: [0, 1].map(|group| leak(self.leaked[group], has[group][1])),
            cached: [0, 1].map(|group| fill(self.cached[group], has[group][2])),
        }
    }
}
