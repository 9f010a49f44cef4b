//! The life of a simulated node: jobs that load, work and end, and power squeezes, all from a seed.
use sim::noise::{signed, word};
use sim::{Node, Workload};

/// Boards of the node.
pub(super) const BOARDS: usize = 8;
/// Boards of a job.
const GROUP: usize = 4;
/// How long a job loads, in seconds.
const LOAD_S: f64 = 35.0;
/// The shortest and longest job, and pause between jobs, in seconds.
pub(super) const JOB_MAX_S: f64 = 7200.0;
const JOB_S: (f64, f64) = (1500.0, JOB_MAX_S);
const PAUSE_S: (f64, f64) = (20.0, 300.0);
/// The budget, a short one, and how often and for how long it is short.
pub(super) const BUDGET_W: f64 = 8000.0;
const SQUEEZE_W: f64 = 5200.0;
const SQUEEZE_EVERY_S: f64 = 10_800.0;
const SQUEEZE_S: f64 = 900.0;

/// What jobs do.
const WORKS: [Workload; 4] = [Workload::Training, Workload::Serving, Workload::Decode, Workload::Prefill];

/// What one group of boards does.
#[derive(Debug, Clone, Copy)]
struct Group {
    work: Workload,
    loads_until_s: f64,
    ends_s: f64,
    /// The number of the job.
    job: u64,
}

/// A day.
#[derive(Debug)]
pub(super) struct Day {
    seed: u64,
    groups: [Group; BOARDS / GROUP],
    squeezes: bool,
}

fn between(seed: u64, stream: u64, number: u64, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * 0.5 * (1.0 + signed(seed, stream, number))
}

impl Day {
    /// A day that begins with idle boards. `squeezes`: whether the budget is short now and then.
    pub(super) fn new(seed: u64, squeezes: bool) -> Self {
        let idle = |group: usize| Group {
            work: Workload::Idle,
            loads_until_s: 0.0,
            ends_s: between(seed, 20 + group as u64, 0, (5.0, 60.0)),
            job: 0,
        };
        Self { seed, groups: std::array::from_fn(idle), squeezes }
    }

    /// Gives boards their work at a moment. Jobs end and begin; at the end of a pause another job is drawn, now and then one
    /// that takes half of the boards only.
    pub(super) fn live(&mut self, at_s: f64, node: &mut Node) {
        for (place, group) in self.groups.iter_mut().enumerate() {
            let stream = 20 + place as u64;
            if at_s >= group.ends_s {
                group.job += 1;
                let paused = group.work == Workload::Idle;
                let (work, span) = if paused {
                    let drawn = word(self.seed, stream + 100, group.job) % WORKS.len() as u64;
                    (WORKS[drawn as usize], JOB_S)
                } else {
                    (Workload::Idle, PAUSE_S)
                };
                group.work = work;
                group.loads_until_s = at_s + if work == Workload::Idle { 0.0 } else { LOAD_S };
                group.ends_s = at_s + between(self.seed, stream, group.job, span);
            }
            let work = if at_s < group.loads_until_s { Workload::Loading } else { group.work };
            for board in place * GROUP..(place + 1) * GROUP {
                node.set_workload(board, work);
            }
        }
    }

    /// Keeps the job of a board for so many seconds more, so that a fault has something to show in.
    pub(super) fn keep(&mut self, board: usize, until_s: f64) {
        let group = &mut self.groups[board / GROUP];
        group.ends_s = group.ends_s.max(until_s);
    }

    /// Whether a board has worked for some minutes.
    pub(super) fn works(&self, board: usize, at_s: f64) -> bool {
        let group = &self.groups[board / GROUP];
        group.work != Workload::Idle && at_s >= group.loads_until_s + 240.0
    }

    /// The budget at a moment, in watts.
    pub(super) fn budget_w(&self, at_s: f64) -> f64 {
        let begins = between(self.seed, 40, 0, (0.3, 0.9)) * SQUEEZE_EVERY_S;
        let into = at_s % SQUEEZE_EVERY_S;
        if self.squeezes && into >= begins && into < begins + SQUEEZE_S { SQUEEZE_W } else { BUDGET_W }
    }
}
