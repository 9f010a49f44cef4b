//! Placement: how fast workloads would be side by side, told from what each needs alone, before they are put together.
//!
//! A workload spends the share `s` of its time alone at a resource (its sensitivity). Beside others that time takes `d`
//! times as long, so that its speed is `y = 1 / (1 + Σ s (d - 1))` of that alone. `d` follows from what the others use of
//! the resource alone, `P`, and what the workload itself does, `p`, each as a share of the node's:
//!
//! - processors, and the computing part of an accelerator: processor sharing. Nothing waits while everybody together needs
//!   less than there is; past that each gets its part, `d = max(1, p + P) / max(1, p)` (Kleinrock, Queueing Systems,
//!   volume 2, 1976, section 4.4: under processor sharing n equal jobs each go on at 1/n).
//! - disks, network, PCIe: an open queue. A server that others keep busy for the share `P` leaves `1 - P` of itself, so
//!   that the same request takes `d = 1 / (1 - P)` times as long (M/M/1, and M/G/1 under processor sharing: Kleinrock,
//!   volume 1, 1975, section 3.2, and volume 2, section 4.4). `p` is not in it: its own queue is part of its time alone.
//!   Others that wait for their own requests slow down in turn, and then this says too much.
//! - caches, the way to memory, memory, power: no law holds without knowing the machine. They are left out.
//!
//! A resource without a number on either side is left out and widens the interval; it is never taken for unused.
use model::Resource;
use model::interference::Vector;

/// The resources that every workload is expected to have a number for: the kernel counts them.
const EXPECTED: [Resource; 3] = [Resource::RunQueue, Resource::Io, Resource::Network];
/// The most that others are taken to use of a queue: past that an open queue has no steady state, and a bound is needed.
const BUSY_MAX: f64 = 0.95;
/// The most that the interval may be wide to one side, relative to `y`: the lower end stays above 0.
const HALF_WIDTH_MAX: f64 = 0.95;

/// Relative half-widths of the 90 % interval.
///
/// The defaults are placeholders and were not measured: the trained model's file is to bring calibrated ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Widths {
    /// Of `y`, beside any neighbour: the noise floor.
    pub noise: f64,
    /// Of the additional time where processor sharing holds.
    pub sharing: f64,
    /// Of the additional time where an open queue holds.
    pub queue: f64,
    /// Of `y`, for each resource that lacks a number.
    pub missing: f64,
}

impl Default for Widths {
    fn default() -> Self {
        Self { noise: 0.05, sharing: 0.25, queue: 0.5, missing: 0.1 }
    }
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

#[derive(Debug, Clone, Copy, PartialEq)]
enum Law {
    Sharing,
    Queue,
}

const fn law(resource: Resource) -> Option<Law> {
    match resource {
        Resource::RunQueue | Resource::Compute => Some(Law::Sharing),
        Resource::Io | Resource::Network | Resource::Pcie => Some(Law::Queue),
        _ => None,
    }
}

/// What the others do to a resource.
#[derive(Debug, Clone, Copy)]
struct Others {
    /// The sum over those who have a number; `None` where nobody has one.
    pressure: Option<f64>,
    /// Whether somebody has none.
    lacking: bool,
}

fn others(needs: &[Needs], me: usize, resource: Resource) -> Others {
    let mut sum = Others { pressure: None, lacking: false };
    for (_, other) in needs.iter().enumerate().filter(|(place, _)| *place != me) {
        match other.pressure.get(resource) {
            Some(pressure) => sum.pressure = Some(sum.pressure.unwrap_or(0.0) + pressure.max(0.0)),
            None => sum.lacking = true,
        }
    }
    sum
}

/// What is known of one resource for one workload.
#[derive(Debug, Clone, Copy)]
struct Delay {
    /// Additional time, as a share of the time alone; `None` where it is left out.
    extra: Option<f64>,
    /// Whether a number is missing.
    missing: bool,
}

fn delay(mine: &Needs, resource: Resource, others: Others, processors: f64) -> Delay {
    let share = mine.sensitivity.get(resource).map(|share| share.clamp(0.0, 1.0));
    let unused = others.pressure == Some(0.0) && !others.lacking;
    if share == Some(0.0) || unused {
        return Delay { extra: Some(0.0), missing: false };
    }
    let told = share.is_some() || others.pressure.is_some();
    let left_out = Delay { extra: None, missing: told || EXPECTED.contains(&resource) };
    let (Some(law), Some(share), Some(pressure)) = (law(resource), share, others.pressure) else {
        return left_out;
    };
    let slower = match (law, mine.pressure.get(resource)) {
        (Law::Sharing, None) => return left_out,
        (Law::Sharing, Some(own)) => {
            let capacity = if resource == Resource::RunQueue { processors } else { 1.0 };
            let used = |demand: f64| (demand / capacity).max(1.0);
            used(own.max(0.0) + pressure) / used(own.max(0.0))
        }
        (Law::Queue, _) => 1.0 / (1.0 - pressure.min(BUSY_MAX)),
    };
    Delay { extra: Some(share * (slower - 1.0)), missing: others.lacking }
}

/// How fast each of some workloads would be beside the others; `None` where nothing is known of any resource.
///
/// `processors` is what there is of the processors that pressure on the run queue is a share of: 1 for the same node, 0.5
/// for one half of it. Alone, each is as fast as alone.
pub fn predict(needs: &[Needs], processors: f64, widths: &Widths) -> Vec<Option<Prediction>> {
    let processors = if processors.is_finite() && processors > 0.0 { processors } else { 1.0 };
    (0..needs.len()).map(|me| one(needs, me, processors, widths)).collect()
}

fn one(needs: &[Needs], me: usize, processors: f64, widths: &Widths) -> Option<Prediction> {
    if needs.len() == 1 {
        return Some(Prediction { y: 1.0, low: 1.0, high: 1.0, resource: None, missing: Vec::new() });
    }
    let (mut extra, mut spread, mut known) = (0.0, 0.0, false);
    let (mut worst, mut missing) = ((0.0, None), Vec::new());
    for resource in Resource::ALL {
        let delay = delay(&needs[me], resource, others(needs, me, resource), processors);
        missing.extend(delay.missing.then_some(resource));
        let Some(more) = delay.extra else { continue };
        known = true;
        extra += more;
        spread += more * if law(resource) == Some(Law::Queue) { widths.queue } else { widths.sharing };
        if more > worst.0 {
            worst = (more, Some(resource));
        }
    }
    let y = 1.0 / (1.0 + extra);
    // y = 1 / (1 + x), so a relative error e of x moves y by x e / (1 + x) of itself.
    let half = widths.noise + spread * y + widths.missing * missing.len() as f64;
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
