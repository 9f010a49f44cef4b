//! Placement: how fast workloads would be side by side, told from what each needs alone, before they are put together.
//!
//! A workload spends the share `s` of its time alone at a resource (its sensitivity). What it spends nowhere it idles, and
//! idling is no part of an operation: of the time of an operation, `s / Σ s` is at each resource. Beside others that time takes
//! `d` times as long, so that its speed is `y = 1 / (1 + Σ s (d - 1) / Σ s)` of that alone. `d` follows from what the others use
//! of the resource alone:
//!
//! - processors: each workload is the fewest threads that can use what it uses, all but one always there and that one for the
//!   rest. A thread on `n` processors beside `K` others goes on at `min(1, n / (1 + K))`; `d` is the mean of the inverse over who
//!   is there, over the same among its own alone. That who comes finds the others as they are without it is the arrival theorem
//!   of closed networks (Reiser and Lavenberg, Mean-Value Analysis of Closed Multichain Queuing Networks, 1980), exact for one
//!   processor that two share: `d = 1 + P`.
//! - disks, network, PCIe, the computing part of an accelerator: the same with one server.
//! - caches, the way to memory, memory, power: no law holds without knowing the machine. They are left out.
//!
//! The law is a closed one: others that are held up ask for less. An open queue, `d = 1 / (1 - P)`, says far too much of loops
//! (`detectors/DESIGN.md`). A resource without a number on either side is left out and widens the interval; it is never taken
//! for unused.
use super::span::{COVERAGE, quantile};
use model::Resource;
use model::interference::Vector;

/// The resources that every workload is expected to have a number for: the kernel counts them.
const EXPECTED: [Resource; 3] = [Resource::RunQueue, Resource::Io, Resource::Network];
/// The most that the interval may be wide to one side, relative to `y`: the lower end stays above 0.
const HALF_WIDTH_MAX: f64 = 0.95;

/// Relative half-widths of the 90 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Widths {
    /// Of `y`, beside any neighbour: the noise floor.
    pub noise: f64,
    /// Of the additional time, as a share of the time beside the others.
    pub extra: f64,
    /// Of `y`, for each resource that lacks a number.
    pub missing: f64,
}

impl Default for Widths {
    /// The noise is half the floor that alarms begin at; what is missing is ours. The width of the additional time is learnt from
    /// the lab's windows, which `evaluate --interference` does anew (`detectors/data/interference/REPORT.md`).
    fn default() -> Self {
        Self { noise: 0.05, extra: 0.77, missing: 0.1 }
    }
}

impl Widths {
    /// Takes the width of the additional time from pairs of a prediction that lacked nothing and the truth, such that nine in
    /// ten of them hold (split-conformal, the residual in units of the additional time).
    #[must_use]
    pub fn learnt(self, pairs: &[(f64, f64)]) -> Self {
        let score = |(y, truth): &(f64, f64)| (((truth / y - 1.0).abs() - self.noise) / (1.0 - y)).max(0.0);
        let mut scores: Vec<f64> = pairs.iter().filter(|(y, _)| *y > 0.0 && *y < 1.0).map(score).collect();
        scores.sort_by(f64::total_cmp);
        if scores.is_empty() { self } else { Self { extra: quantile(&scores, COVERAGE), ..self } }
    }
}

/// Processors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Processors {
    /// Those that pressure on the run queue is a share of: the node's.
    pub node: f64,
    /// Those that all are placed on.
    pub given: f64,
}

/// What a workload is alone.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Needs {
    /// The share of its time alone that it spends at each resource, 0 to 1.
    pub sensitivity: Vector,
    /// The share of the node's that it uses alone, 0 to 1.
    pub pressure: Vector,
}

/// How fast a workload would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Performance beside the others over performance alone, above 0 and at most 1.
    pub y: f64,
    /// Lower end of the 90 % interval of `y`.
    pub low: f64,
    /// Upper end of the 90 % interval of `y`.
    pub high: f64,
    /// What holds it up most; `None` while nothing does beyond the noise floor.
    pub resource: Option<Resource>,
    /// Resources that lack a number, its own or a neighbour's.
    pub missing: Vec<Resource>,
}

/// Servers of a resource, and how many of them pressure is a share of; `None` where no law holds, or they are not known.
fn servers(resource: Resource, processors: Option<Processors>) -> Option<(f64, f64)> {
    match resource {
        Resource::RunQueue => processors.map(|processors| (processors.given, processors.node)),
        Resource::Compute | Resource::Io | Resource::Network | Resource::Pcie => Some((1.0, 1.0)),
        _ => None,
    }
}

/// How many are at a resource: so many for certain, and the chance of each number more.
#[derive(Debug, Clone, PartialEq)]
struct Crowd {
    certain: f64,
    chances: Vec<f64>,
}

impl Crowd {
    fn nobody() -> Self {
        Self { certain: 0.0, chances: vec![1.0] }
    }

    /// Adds the fewest that can use so much, in servers: whole ones that are always there, and one that is for the rest.
    fn join(&mut self, used: f64) {
        let (whole, rest) = (used.max(0.0).floor(), used.max(0.0).fract());
        self.certain += whole;
        if rest > 0.0 {
            let mut last = 0.0;
            for chance in &mut self.chances {
                let here = *chance;
                *chance = here * (1.0 - rest) + last * rest;
                last = here;
            }
            self.chances.push(last * rest);
        }
    }

    /// How much longer one more takes on so many servers.
    fn slower(&self, servers: f64) -> f64 {
        let beside = |more: usize| ((1.0 + self.certain + more as f64) / servers).max(1.0);
        self.chances.iter().enumerate().map(|(more, chance)| chance * beside(more)).sum()
    }
}

/// What is known of one resource for one workload.
#[derive(Debug, Clone, Copy)]
struct Delay {
    /// Additional time, as a share of the time at the resource; `None` where it is left out.
    longer: Option<f64>,
    /// Whether a number is missing.
    missing: bool,
}

fn delay(needs: &[Needs], me: usize, resource: Resource, processors: Option<Processors>) -> Delay {
    let (before, after) = (&needs[..me], &needs[me + 1..]);
    let pressures = || before.iter().chain(after).map(|other| other.pressure.get(resource));
    let lacking = pressures().any(|pressure| pressure.is_none());
    let told = pressures().any(|pressure| pressure.is_some());
    let share = needs[me].sensitivity.get(resource);
    let unused = !lacking && pressures().flatten().all(|pressure| pressure <= 0.0);
    if share.is_some_and(|share| share <= 0.0) || unused {
        return Delay { longer: Some(0.0), missing: false };
    }
    let left_out = Delay { longer: None, missing: share.is_some() || told || EXPECTED.contains(&resource) };
    let (Some((servers, unit)), Some(_), true) = (servers(resource, processors), share, told) else {
        return left_out;
    };
    let own = match needs[me].pressure.get(resource) {
        Some(own) => own * unit,
        // At a single server it is one, whatever it uses; at processors its own threads must be known.
        None if resource != Resource::RunQueue => 1.0,
        None => return left_out,
    };
    let mut crowd = Crowd::nobody();
    crowd.join(own - 1.0);
    let alone = crowd.slower(servers);
    pressures().flatten().for_each(|pressure| crowd.join(pressure * unit));
    Delay { longer: Some((crowd.slower(servers) / alone - 1.0).max(0.0)), missing: lacking }
}

/// How fast each of some workloads would be beside the others; `None` where nothing is known of any resource.
///
/// Alone, each is as fast as alone. Without processors nothing is said of them, nor where one of their numbers is none.
pub fn predict(needs: &[Needs], processors: Option<Processors>, widths: &Widths) -> Vec<Option<Prediction>> {
    let sound = |count: f64| count.is_finite() && count > 0.0;
    let processors = processors.filter(|processors| sound(processors.node) && sound(processors.given));
    (0..needs.len()).map(|me| one(needs, me, processors, widths)).collect()
}

fn one(needs: &[Needs], me: usize, processors: Option<Processors>, widths: &Widths) -> Option<Prediction> {
    if needs.len() == 1 {
        return Some(Prediction { y: 1.0, low: 1.0, high: 1.0, resource: None, missing: Vec::new() });
    }
    let share = |resource: Resource| needs[me].sensitivity.get(resource).map_or(0.0, |share| share.max(0.0));
    let served: f64 = Resource::ALL.into_iter().map(share).sum();
    let (mut extra, mut known) = (0.0, false);
    let (mut worst, mut missing) = ((0.0, None), Vec::new());
    for resource in Resource::ALL {
        let delay = delay(needs, me, resource, processors);
        missing.extend(delay.missing.then_some(resource));
        let Some(longer) = delay.longer else { continue };
        known = true;
        let more = if longer > 0.0 { share(resource) / served * longer } else { 0.0 };
        extra += more;
        if more > worst.0 {
            worst = (more, Some(resource));
        }
    }
    let y = 1.0 / (1.0 + extra);
    // y = 1 / (1 + x), so a relative error e of x moves y by x e / (1 + x) of itself.
    let half = widths.noise + widths.extra * (1.0 - y) + widths.missing * missing.len() as f64;
    let half = half.clamp(0.0, HALF_WIDTH_MAX);
    let resource = worst.1.filter(|_| 1.0 - y > widths.noise);
    known.then(|| Prediction {
        y,
        low: y * (1.0 - half),
        high: (y * (1.0 + half)).min(1.0),
        resource,
        missing,
    })
}

#[cfg(test)]
mod tests;
