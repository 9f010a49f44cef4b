//! The estimator with hardware counters, on series that a test makes up: no host that has them was at hand.
use super::*;
use model::interference::Counters;

/// What is counted of a group in a second.
#[derive(Clone, Copy)]
struct Counted {
    /// Cycles per instruction.
    cpi: f64,
    /// Misses per thousand instructions.
    misses: f64,
    /// Cycles of each reference cycle.
    clock: f64,
    /// Share of the time on the hardware.
    share: f64,
}

const QUIET: Counted = Counted { cpi: 0.8, misses: 2.0, clock: 1.2, share: 1.0 };
/// Reference cycles of a second of running.
const REFERENCE: f64 = 2.5e9;

/// A bench with the totals of each group's events: cycles, instructions, misses, reference cycles.
struct Lab {
    bench: Bench,
    totals: Vec<[f64; 4]>,
    traffic: Vec<f64>,
    domain: f64,
}

impl Lab {
    fn new(groups: usize) -> Self {
        let bench = Bench::new(groups, Some(taught()));
        Self { bench, totals: vec![[0.0; 4]; groups], traffic: vec![0.0; groups], domain: 0.0 }
    }

    /// A lab whose victim was seen alone for so many seconds.
    fn acquainted(groups: usize, seconds: usize) -> Self {
        let mut lab = Self::new(groups);
        (0..seconds).for_each(|_| lab.second(&[(0.9, 0.0)], &[QUIET]));
        lab
    }

    /// Counts what a group executed in the time that it is about to run.
    fn count(&mut self, group: usize, run: f64, counted: Counted) {
        let reference = REFERENCE * run;
        let cycles = reference * counted.clock;
        let instructions = cycles / counted.cpi;
        let grown = [cycles, instructions, instructions / 1e3 * counted.misses, reference];
        let device = self.bench.groups[group].0;
        let metrics = [
            Metric::CgroupCycles,
            Metric::CgroupInstructions,
            Metric::CgroupCacheMisses,
            Metric::CgroupReferenceCycles,
        ];
        for ((total, grown), metric) in self.totals[group].iter_mut().zip(grown).zip(metrics) {
            *total += grown;
            self.bench.extra.push((device, metric, *total));
        }
        self.bench.extra.push((device, Metric::CgroupEventsScheduled, counted.share));
    }

    /// Counts what moved between a group and memory.
    fn moves(&mut self, group: usize, bytes: f64) {
        self.traffic[group] += bytes;
        self.bench.extra.push((self.bench.groups[group].0, Metric::CgroupTraffic, self.traffic[group]));
    }

    fn second(&mut self, seconds: &[Second], counted: &[Counted]) {
        for (group, counted) in counted.iter().enumerate() {
            self.count(group, seconds[group].0, *counted);
        }
        self.bench.second(seconds);
    }

    fn counters(&self) -> Option<Counters> {
        let mut list = Vec::new();
        self.bench.estimator.list(&self.bench.frame, &mut list);
        list.iter().find(|one| one.device == self.bench.groups[0].0).unwrap().counters
    }
}

/// A neighbour on the other processor, so that nobody waits.
const BESIDE: [Second; 2] = [(0.9, 0.0), (0.9, 0.0)];

#[test]
fn a_neighbour_in_the_cache_is_seen_by_cycles_and_named_by_misses() {
    let mut lab = Lab::acquainted(2, 20);
    assert_eq!(lab.counters(), Some(Counters::Used));
    let slower = Counted { cpi: 1.4 * QUIET.cpi, misses: 3.0 * QUIET.misses, ..QUIET };
    (0..6).for_each(|_| lab.second(&BESIDE, &[slower, QUIET]));
    let estimate = lab.bench.estimate(0);
    assert!((estimate.y - 1.0 / 1.4).abs() < 0.01, "{estimate:?}");
    // The model of these tests is exact, so that its own interval is none; what was never calibrated is not.
    assert!(estimate.low < 0.62 && estimate.high > 0.81, "{estimate:?}");
    assert!(lab.bench.estimator.alarms().count() > 0);
    assert_eq!((estimate.resource, estimate.basis), (Some(Resource::Cache), Basis::Physics));
    // Slower by as much, without more misses: something that these counters do not tell.
    let stalled = Counted { misses: QUIET.misses, ..slower };
    lab.second(&BESIDE, &[stalled, QUIET]);
    assert_eq!(lab.bench.estimate(0).resource, Some(Resource::Unknown));
}

#[test]
fn waiting_and_slower_service_multiply_and_the_larger_part_is_named() {
    let mut lab = Lab::acquainted(2, 20);
    let slower = Counted { cpi: 1.25 * QUIET.cpi, misses: 3.0 * QUIET.misses, ..QUIET };
    (0..6).for_each(|_| lab.second(&[(0.45, 0.45), (0.45, 0.4)], &[slower, QUIET]));
    let estimate = lab.bench.estimate(0);
    assert!((estimate.y - 0.5 / 1.25).abs() < 0.03, "{estimate:?}");
    assert_eq!(estimate.resource, Some(Resource::RunQueue));
}

#[test]
fn a_lower_clock_is_power_and_not_the_cache() {
    let mut lab = Lab::acquainted(2, 20);
    let slower = Counted { clock: 0.8 * QUIET.clock, misses: 3.0 * QUIET.misses, ..QUIET };
    (0..6).for_each(|_| lab.second(&BESIDE, &[slower, QUIET]));
    let estimate = lab.bench.estimate(0);
    assert!((estimate.y - 0.8).abs() < 0.01, "{estimate:?}");
    assert_eq!(estimate.resource, Some(Resource::Power));
}

#[test]
fn counters_that_ran_for_less_than_a_tenth_of_the_time_are_left_out_and_that_is_told() {
    let (mut lab, mut plain) = (Lab::acquainted(2, 20), Lab::new(2));
    (0..20).for_each(|_| plain.second(&[(0.9, 0.0)], &[]));
    let at = |share| Counted { cpi: 1.4 * QUIET.cpi, misses: 3.0 * QUIET.misses, share, ..QUIET };
    lab.second(&BESIDE, &[at(0.1), QUIET]);
    plain.second(&BESIDE, &[]);
    assert_eq!(lab.counters(), Some(Counters::Used), "a tenth is enough");
    assert!((lab.bench.estimate(0).y - 1.0 / 1.4).abs() < 0.01);
    for share in [0.099, 0.0] {
        lab.second(&BESIDE, &[at(share), QUIET]);
        plain.second(&BESIDE, &[]);
        assert_eq!(lab.counters(), Some(Counters::Sparse));
        assert_eq!(lab.bench.judgement(0), plain.bench.judgement(0), "as if there were none");
    }
}

#[test]
fn counters_that_vanish_leave_the_estimate_that_there_is_without_them() {
    let (mut lab, mut plain) = (Lab::acquainted(2, 20), Lab::new(2));
    (0..20).for_each(|_| plain.second(&[(0.9, 0.0)], &[]));
    assert_eq!(plain.counters(), None);
    let slower = Counted { cpi: 1.4 * QUIET.cpi, misses: 3.0 * QUIET.misses, ..QUIET };
    (0..3).for_each(|_| lab.second(&BESIDE, &[slower, QUIET]));
    (0..3).for_each(|_| plain.second(&BESIDE, &[]));
    assert_ne!(lab.bench.judgement(0), plain.bench.judgement(0));
    for _ in 0..3 {
        lab.second(&BESIDE, &[]);
        plain.second(&BESIDE, &[]);
        assert_eq!((lab.bench.judgement(0), lab.counters()), (plain.bench.judgement(0), None));
    }
    // When they come back, what was learnt is there; the first window has no beginning.
    lab.second(&BESIDE, &[slower, QUIET]);
    assert_eq!(lab.counters(), None);
    lab.second(&BESIDE, &[slower, QUIET]);
    assert!((lab.bench.estimate(0).y - 1.0 / 1.4).abs() < 0.01);
}

#[test]
fn what_was_not_counted_while_it_was_alone_is_not_compared() {
    let mut lab = Lab::new(2);
    (0..20).for_each(|_| lab.second(&[(0.9, 0.0)], &[]));
    (0..6).for_each(|_| lab.second(&BESIDE, &[QUIET, QUIET]));
    assert_eq!(lab.counters(), Some(Counters::Learning));
    // Nor is a load far from those at which it was.
    let mut lab = Lab::acquainted(2, 20);
    lab.second(&[(0.2, 0.0), (0.9, 0.0)], &[QUIET, QUIET]);
    assert_eq!(lab.counters(), Some(Counters::Learning));
}

#[test]
fn a_phase_of_its_own_is_learnt_and_nobody_is_blamed() {
    let mut lab = Lab::acquainted(2, 20);
    let phase = Counted { cpi: 2.0 * QUIET.cpi, misses: 5.0 * QUIET.misses, ..QUIET };
    for _ in 0..60 {
        lab.second(&[(0.9, 0.0), (0.0, 0.0)], &[phase]);
        assert!(lab.bench.estimate(0).resource.is_none());
    }
    // It varies by as much when it is alone, so beside others the interval says so.
    (0..6).for_each(|_| lab.second(&BESIDE, &[phase, QUIET]));
    let estimate = lab.bench.estimate(0);
    assert!(estimate.high > 0.9, "{estimate:?}");
}

#[test]
fn a_full_way_to_memory_is_named_once_it_is_known_what_it_can_carry() {
    let slower = Counted { cpi: 1.4 * QUIET.cpi, misses: 3.0 * QUIET.misses, ..QUIET };
    let named = |minutes: usize, last: f64| {
        let mut lab = Lab::acquainted(2, 20);
        let core = lab.bench.cores[0];
        let domain = |lab: &mut Lab, bytes: f64| {
            lab.domain += bytes;
            lab.bench.extra.push((core, Metric::DomainTraffic, lab.domain));
            lab.moves(0, 1e9);
            lab.second(&BESIDE, &[slower, QUIET]);
        };
        (0..minutes * 60 + 1).for_each(|_| domain(&mut lab, 40e9));
        domain(&mut lab, last);
        lab.bench.estimate(0).resource
    };
    assert_eq!(named(1, 38e9), Some(Resource::MemoryBandwidth));
    assert_eq!(named(1, 20e9), Some(Resource::Cache), "half full");
    assert_eq!(named(0, 38e9), Some(Resource::Cache), "what it can carry is not known yet");
    assert_eq!(named(1, 1.9e9), Some(Resource::Cache), "most of the traffic is its own");
}

#[test]
fn of_two_neighbours_the_one_whose_traffic_goes_with_the_victims_cycles_is_named() {
    let mut lab = Lab::acquainted(3, 20);
    for beat in 0..20_u32 {
        let (pressed, other) = (beat % 4 >= 2, beat % 2 == 0);
        let factor = if pressed { 1.6 } else { 1.25 };
        let victim = Counted { cpi: factor * QUIET.cpi, misses: 3.0 * QUIET.misses, ..QUIET };
        // Both run as much as they did; only what they move differs.
        lab.moves(1, if other { 9e9 } else { 1e9 });
        lab.moves(2, if pressed { 8e9 } else { 1e9 });
        lab.second(&[(0.9, 0.0), (0.4, 0.0), (0.4, 0.0)], &[victim, QUIET, QUIET]);
    }
    let estimate = lab.bench.estimate(0);
    assert_eq!(estimate.resource, Some(Resource::Cache));
    let culprit = estimate.culprit.expect("one stands out");
    assert_eq!(culprit.device, lab.bench.groups[2].0);
    assert!(culprit.correlation > 0.9, "{culprit:?}");
}

#[test]
fn where_no_traffic_is_told_cache_misses_are_taken_for_it() {
    let mut lab = Lab::acquainted(2, 20);
    for beat in 0..20_u32 {
        let pressed = beat % 4 >= 2;
        let victim = Counted { cpi: if pressed { 1.6 } else { 1.25 } * QUIET.cpi, misses: 6.0, ..QUIET };
        let hog = Counted { misses: if pressed { 40.0 } else { 4.0 }, ..QUIET };
        lab.second(&BESIDE, &[victim, hog]);
    }
    let culprit = lab.bench.estimate(0).culprit.expect("one stands out");
    assert_eq!(culprit.device, lab.bench.groups[1].0);
}

#[test]
fn a_clock_of_the_node_stands_in_where_the_groups_own_is_not_counted() {
    let mut lab = Lab::new(2);
    let second = |lab: &mut Lab, seconds: &[Second], ratio: f64| {
        lab.count(0, seconds[0].0, QUIET);
        let own = lab.bench.groups[0].0;
        lab.bench
            .extra
            .retain(|(device, metric, _)| *device != own || *metric != Metric::CgroupReferenceCycles);
        for core in lab.bench.cores.clone() {
            lab.bench.extra.push((core, Metric::CoreFrequencyRatio, ratio));
        }
        lab.bench.second(seconds);
    };
    (0..20).for_each(|_| second(&mut lab, &[(0.9, 0.0)], 1.2));
    (0..3).for_each(|_| second(&mut lab, &BESIDE, 0.9));
    let estimate = lab.bench.estimate(0);
    assert!((estimate.y - 0.75).abs() < 0.01, "{estimate:?}");
    assert_eq!(estimate.resource, Some(Resource::Power));
}
