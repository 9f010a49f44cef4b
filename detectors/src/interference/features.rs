//! Features: what a model sees of one window, all of it relative to the workload's own quiet profile or to the whole node.
use super::counter::{Node, Own, Sample};
use super::profile::{Profile, Quotient, wait};

/// Name, and the sign that the answer must follow: the answer is how much slower a workload is.
type Feature = (&'static str, i8);

/// What neighbours do, and what the workload is by nature.
const AROUND: &[Feature] = &[
    ("others_busy", 1),
    ("others_storage_bytes", 1),
    ("disk_busy", 0),
    ("softirq", 0),
    ("others_faults", 1),
    ("stall_cpu", 0),
    ("steal", 1),
    ("quiet_run", 0),
    ("quiet_sleep_per_slice", 0),
    ("quiet_calls_per_run", 0),
    ("quiet_storage_per_run", 0),
    ("quiet_system_share", 0),
];

/// How many features there are.
pub const COUNT: usize = Quotient::COUNT + AROUND.len();

/// The signs of quotients' ratios.
const fn sign(quotient: Quotient) -> i8 {
    match quotient {
        Quotient::WaitPerRun
        | Quotient::DiskLatency
        | Quotient::StallMemory
        | Quotient::StallIo
        | Quotient::ProbeLatency => 1,
        Quotient::Clock | Quotient::ProbeCopy => -1,
        Quotient::SlicesPerRun
        | Quotient::SleepPerSlice
        | Quotient::CallsPerRun
        | Quotient::StoragePerRun
        | Quotient::FaultsPerRun
        | Quotient::SystemShare
        | Quotient::Run
        | Quotient::TrafficPerRun => 0,
    }
}

/// The signs of all features, in their order.
pub fn signs() -> Vec<i8> {
    Quotient::ALL.iter().map(|quotient| sign(*quotient)).chain(AROUND.iter().map(|(_, sign)| *sign)).collect()
}

/// The names of all features, in their order: the feature set that a frozen model belongs to.
pub fn names() -> Vec<String> {
    let ratios = Quotient::ALL.iter().map(|quotient| format!("{quotient:?}"));
    ratios.chain(AROUND.iter().map(|(name, _)| (*name).to_owned())).collect()
}

/// Whether a feature says what the workload is by nature, and nothing of its neighbours.
pub(super) fn is_nature(feature: usize) -> bool {
    feature
        .checked_sub(Quotient::COUNT)
        .and_then(|place| AROUND.get(place))
        .is_some_and(|(name, _)| name.starts_with("quiet_"))
}

/// What is seen of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The features, NaN for what is not known.
    pub features: [f32; COUNT],
    /// How fast work would be that does nothing but run: time to run over time to run and wait, both against the quiet
    /// profile; 1 where waiting is not known.
    pub waiting: f64,
    /// What the physics of waiting says of this work, of whose time alone only a part is running; 1 where waiting is not known.
    pub physics: f64,
    /// Bytes a second that the workload moves to and from storage, and that others do: for blame alone, no model sees them. `None`
    /// where its processes' own counts are not known.
    pub storage: Option<(f64, f64)>,
}

impl Seen {
    /// A window against a profile; `None` when the profile knows nothing near its load.
    pub fn of(sample: &Sample, profile: &Profile) -> Option<Self> {
        let (ratios, quiet) = profile.ratios(sample)?;
        let mut features = [f32::NAN; COUNT];
        features[..Quotient::COUNT].copy_from_slice(&ratios);
        let around = around(sample, &quiet);
        for (place, value) in around.into_iter().enumerate() {
            features[Quotient::COUNT + place] = value.map_or(f32::NAN, |value| value as f32);
        }
        let waiting = waiting(sample, &quiet);
        Some(Self { features, waiting, physics: physics(waiting, &quiet), storage: storage(sample) })
    }

    /// The logarithm of a quotient's ratio to the quiet one, 0 where it is not known.
    pub(super) fn ratio(&self, quotient: Quotient) -> f64 {
        let ratio = self.features[quotient as usize];
        if ratio.is_nan() { 0.0 } else { f64::from(ratio) }
    }

    /// One of the features around the workload by its name; `None` where it is not known.
    pub(super) fn around(&self, name: &str) -> Option<f64> {
        let place = AROUND.iter().position(|(known, _)| *known == name)?;
        Some(f64::from(self.features[Quotient::COUNT + place])).filter(|value| !value.is_nan())
    }
}

/// What a workload moves to and from storage, and what is left of the disks' traffic for others.
fn storage(sample: &Sample) -> Option<(f64, f64)> {
    let own = sample.storage().filter(|_| sample.moved.is_finite())?;
    Some((own, (sample.node(Node::DiskBytes)? - own).max(0.0)))
}

/// `(run + wait) / run`, quiet over now, at most 1.
fn waiting(sample: &Sample, quiet: &[f32; Quotient::COUNT]) -> f64 {
    let Some(now) = Quotient::WaitPerRun.of(sample) else { return 1.0 };
    ((1.0 + Quotient::WaitPerRun.value(quiet).unwrap_or(0.0)) / (1.0 + now)).min(1.0)
}

/// The same of work that runs for a part of an operation and is blocked on I/O for the rest: only the part that runs gets longer.
///
/// What is neither running nor blocked is taken for idling between operations, and counts on neither side: at half its load a
/// workload waits as long for each operation as at its whole.
fn physics(waiting: f64, quiet: &[f32; Quotient::COUNT]) -> f64 {
    let run = Quotient::Run.value(quiet).filter(|run| *run > 0.0);
    let Some((run, blocked)) = run.zip(Quotient::StallIo.value(quiet)) else { return waiting };
    let longer = (1.0 / waiting - 1.0) * run / (run + blocked);
    1.0 / (1.0 + longer)
}

/// Values of [`AROUND`].
fn around(sample: &Sample, quiet: &[f32; Quotient::COUNT]) -> [Option<f64>; AROUND.len()] {
    let cores = sample.node(Node::Cores).filter(|cores| *cores >= 1.0);
    let others = |node: Node, own: Own| {
        let own = sample.own(own).unwrap_or(0.0);
        sample.node(node).map(|node| (node - own).max(0.0))
    };
    let of_cores = |value: Option<f64>| Some(value? / cores?);
    let quiet =
        |quotient: Quotient| Some(f64::from(quiet[quotient as usize])).filter(|value| !value.is_nan());
    [
        of_cores(others(Node::Busy, Own::Run)),
        others(Node::DiskBytes, Own::StorageBytes).map(|bytes| (1.0 + bytes / 1e6).ln()),
        sample.node(Node::DiskBusy),
        of_cores(sample.node(Node::Softirq)),
        others(Node::FaultsMinor, Own::FaultsMinor).map(|faults| (1.0 + faults / 1e3).ln()),
        sample.node(Node::StallCpu),
        of_cores(sample.node(Node::Steal)),
        quiet(Quotient::Run),
        quiet(Quotient::SleepPerSlice),
        quiet(Quotient::CallsPerRun),
        quiet(Quotient::StoragePerRun),
        quiet(Quotient::SystemShare),
    ]
}

/// Whether nobody is in the way: what others do is below what a node does by itself.
pub fn is_quiet(sample: &Sample, limits: &QuietLimits) -> bool {
    let cores = sample.node(Node::Cores).unwrap_or(1.0).max(1.0);
    let run = sample.own(Own::Run).unwrap_or(0.0);
    let busy = sample.node(Node::Busy).map(|busy| (busy - run).max(0.0) / cores);
    let disk = sample.node(Node::DiskBytes).map(|bytes| bytes - sample.own(Own::StorageBytes).unwrap_or(0.0));
    let steal = sample.node(Node::Steal).unwrap_or(0.0) / cores;
    let waits = wait(sample).unwrap_or(0.0) / run.max(0.01);
    // What is not known is not quiet.
    busy.is_some_and(|busy| busy <= limits.busy)
        && disk.is_none_or(|bytes| bytes <= limits.disk_bytes)
        && steal <= limits.steal
        && waits <= limits.waits
}

/// What others may do in a quiet window. All ours, set above what an idle machine with the agent on it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuietLimits {
    /// Share of the node's processors that others keep busy.
    pub busy: f64,
    /// Bytes a second that others move to and from disks.
    pub disk_bytes: f64,
    /// Share of processors that the hypervisor gives to others.
    pub steal: f64,
    /// Waiting over running of the workload itself: its own threads wait for each other.
    pub waits: f64,
}

impl Default for QuietLimits {
    fn default() -> Self {
        Self { busy: 0.1, disk_bytes: 4e6, steal: 0.02, waits: 0.2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What physics says of half a second of waiting a second of running, of work that alone runs and is blocked on I/O so much.
    fn physics_of(run: f32, blocked: f32) -> f64 {
        let window = |wait: f32| {
            let mut sample = Sample::default();
            for (counter, value) in [(Own::Run, run), (Own::Wait, wait), (Own::StallIo, blocked)] {
                sample.own[counter as usize] = value;
            }
            sample
        };
        let mut profile = Profile::default();
        (0..4).for_each(|_| profile.learn(&window(0.0)));
        Seen::of(&window(run / 2.0), &profile).unwrap().physics
    }

    #[test]
    fn waiting_makes_longer_the_part_of_an_operation_that_runs_and_not_the_part_that_is_blocked() {
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 0.01;
        assert!(near(physics_of(1.0, 0.0), 1.0 / 1.5));
        assert!(near(physics_of(0.25, 0.75), 1.0 / 1.125), "{}", physics_of(0.25, 0.75));
        assert!(near(physics_of(0.25, 0.0), 1.0 / 1.5), "idling is no part of an operation");
        assert!(
            near(physics_of(0.25, f32::NAN), 1.0 / 1.5),
            "what is not known is not taken for being blocked"
        );
    }

    #[test]
    fn what_a_workload_is_by_nature_is_told_from_what_its_neighbours_do() {
        let names = names();
        let nature: Vec<&str> = (0..COUNT).filter(|n| is_nature(*n)).map(|n| names[n].as_str()).collect();
        assert_eq!(nature.first(), Some(&"quiet_run"));
        assert_eq!(nature.len(), 5);
    }
}
