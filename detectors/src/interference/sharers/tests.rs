//! Judgements of processes that share a board, against the time that they must have.
use super::physics::ready;
use super::*;
use model::interference::Basis;
use model::{DeviceInfo, DeviceKind, Metric, Reading, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A process that computes for nearly all of its time, and one that copies.
fn computing() -> Sighting {
    let known = |value| Some(value);
    Sighting {
        own: known(0.98),
        busy: known(0.98),
        sm: known(0.95),
        tensor: known(0.6),
        memory: known(0.3),
        host: known(0.0),
        clock: known(2e9),
        free: true,
        ..Sighting::default()
    }
}

fn copying() -> Sighting {
    Sighting { own: Some(0.1), busy: Some(0.1), memory: Some(0.1), host: Some(0.75), ..computing() }
}

fn after(quiet: Sighting) -> Alone {
    let mut alone = Alone::default();
    (0..10).for_each(|_| alone.learn(&quiet));
    alone
}

fn beside(quiet: Sighting, now: Sighting) -> Result<Estimate, Abstention> {
    Limits::default().judge(&now, &after(quiet))
}

fn other(share: f64) -> [Option<f64>; OTHERS_MAX] {
    let mut others = [None; OTHERS_MAX];
    others[0] = Some(share);
    others
}

#[test]
fn half_the_turns_are_half_the_speed_and_the_engine_is_named() {
    let now = Sighting { own: Some(0.49), others: other(0.5), count: 1, ..computing() };
    let estimate = beside(computing(), now).unwrap();
    assert!((estimate.y - 0.5).abs() < 0.04, "{estimate:?}");
    assert!(estimate.high < 0.8 && estimate.basis == Basis::Physics);
    assert_eq!(estimate.resource, Some(Resource::Compute));
}

#[test]
fn turns_are_solved_for_who_had_kernels_ready() {
    let (own, others) = ready(0.75, &[0.25]);
    assert!((own - 1.0).abs() < 0.02 && (others - 0.5).abs() < 0.03, "{own} {others}");
    let (own, others) = ready(0.3, &[]);
    assert!((own - 0.3).abs() < 1e-9 && others.abs() < 1e-9);
    let (own, _) = ready(1.0 / 3.0, &[1.0 / 3.0, 1.0 / 3.0]);
    assert!(own > 0.9, "three who always have kernels: {own}");
}

#[test]
fn a_full_link_slows_copies_and_is_named() {
    let now = Sighting { own: Some(0.05), others: other(0.03), count: 1, host: Some(0.85), ..copying() };
    let estimate = beside(copying(), now).unwrap();
    assert!((0.4..0.7).contains(&estimate.y) && estimate.resource == Some(Resource::Pcie), "{estimate:?}");
}

#[test]
fn a_lower_clock_slows_computing_alone_on_the_board_and_power_is_named() {
    let now = Sighting { clock: Some(1.4e9), free: false, ..computing() };
    let estimate = beside(computing(), now).unwrap();
    assert!((estimate.y - 0.7).abs() < 0.03 && estimate.resource == Some(Resource::Power), "{estimate:?}");
}

#[test]
fn alone_at_less_load_it_is_as_fast_as_ever() {
    let now =
        Sighting { own: Some(0.2), busy: Some(0.2), memory: Some(0.06), tensor: Some(0.1), ..computing() };
    let estimate = beside(computing(), now).unwrap();
    assert!(estimate.y > 0.99 && estimate.resource.is_none());
}

#[test]
fn with_mps_a_full_memory_is_named_and_what_no_counter_shows_is_not_judged() {
    let stream = Sighting { memory: Some(0.6), tensor: Some(0.0), ..computing() };
    let unshared = Sighting { own: None, count: 1, mps: true, memory: Some(0.9), ..stream };
    let estimate = beside(stream, unshared).unwrap();
    assert_eq!(estimate.resource, Some(Resource::MemoryBandwidth));
    assert!(estimate.low < 0.6 && estimate.high > 0.8, "{estimate:?}");
    let filling = Sighting { memory: Some(0.9), ..stream };
    assert_eq!(beside(filling, unshared), Err(Abstention::Uncounted), "it looks the same whoever asks");
    let hidden = Sighting { memory: Some(0.3), tensor: Some(0.0), ..unshared };
    let plain = Sighting { tensor: Some(0.0), ..computing() };
    assert_eq!(beside(plain, hidden), Err(Abstention::Uncounted));
}

#[test]
fn with_mps_matrix_pipes_that_do_less_bound_their_user() {
    let now = Sighting { own: None, count: 1, mps: true, tensor: Some(0.32), ..computing() };
    let estimate = beside(computing(), now).unwrap();
    assert!(estimate.y < 0.8 && estimate.resource == Some(Resource::Compute), "{estimate:?}");
}

#[test]
fn what_is_not_counted_is_an_abstention_and_never_a_zero() {
    let uncounted = Sighting { own: None, count: 1, ..computing() };
    assert_eq!(beside(computing(), uncounted), Err(Abstention::Uncounted));
    let unknown = Sighting { count: 1, ..computing() };
    assert_eq!(beside(computing(), unknown), Err(Abstention::Uncounted), "who the other is, nobody says");
    let silent = Sighting { own: None, count: 1, mps: true, memory: None, ..computing() };
    assert_eq!(beside(computing(), silent), Err(Abstention::Uncounted));
    assert_eq!(Limits::default().judge(&computing(), &Alone::default()), Err(Abstention::NoProfile));
}

/// A board with processes, beat by beat.
struct Bench {
    frame: Frame,
    gpu: DeviceId,
    sharers: Sharers,
}

impl Bench {
    fn new() -> Self {
        let mut frame = Frame::default();
        let info = Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
        let gpu = Arc::make_mut(&mut frame.devices).register(&info).unwrap();
        Self { frame, gpu, sharers: Sharers::default() }
    }

    fn beats(&mut self, count: u32, shares: &[(u32, f64)]) -> Vec<Sharer> {
        for _ in 0..count {
            let now = self.frame.at.after(Duration::from_secs(1));
            self.frame.begin(now);
            let busy: f64 = shares.iter().map(|(_, share)| share).sum();
            for (metric, value) in [
                (Metric::Utilization, busy),
                (Metric::ClockSm, 2e9),
                (Metric::PowerLimitEnforced, 700.0),
                (Metric::PowerLimitDefault, 700.0),
            ] {
                self.frame.put(self.gpu, metric, Reading::Value(value));
            }
            self.frame.processes = shares
                .iter()
                .map(|(pid, share)| ProcessUse {
                    device: self.gpu,
                    pid: *pid,
                    name: "p".into(),
                    memory_bytes: Some(1),
                    utilization: Some(*share),
                    workload: None,
                })
                .collect();
            self.sharers.take(&self.frame);
        }
        self.sharers.latest().to_vec()
    }
}

#[test]
fn a_process_is_learnt_alone_judged_beside_another_and_the_other_is_named() {
    let mut bench = Bench::new();
    assert_eq!(bench.frame.at, Timestamp::default());
    let quiet = bench.beats(10, &[(7, 0.9)]);
    assert!(matches!(quiet[0].judgement, Judgement::Estimate(estimate) if estimate.y > 0.99));
    let met = bench.beats(1, &[(7, 0.45), (8, 0.5), (9, 0.0)]);
    assert_eq!(met[0].judgement, Judgement::Abstained(Abstention::Short), "counters have not settled");
    let met = bench.beats(4, &[(7, 0.45), (8, 0.5), (9, 0.0)]);
    let Judgement::Estimate(estimate) = met[0].judgement else { panic!("{met:?}") };
    assert!((0.45..0.65).contains(&estimate.y), "{estimate:?}");
    assert_eq!(met[0].culprit, Some(8), "and not the one that only holds memory");
    assert_eq!(met[1].judgement, Judgement::Abstained(Abstention::NoProfile));
    assert_eq!(met[2].judgement, Judgement::Abstained(Abstention::Idle));
}

#[test]
fn more_processes_than_are_followed_are_told_as_such_and_those_that_are_gone_make_room() {
    let mut bench = Bench::new();
    let many: Vec<(u32, f64)> = (0..FOLLOWED_MAX as u32 + 3).map(|pid| (pid, 0.001)).collect();
    let crowd = bench.beats(3, &many);
    let crowded = |sharer: &&Sharer| sharer.judgement == Judgement::Abstained(Abstention::Crowded);
    assert_eq!(crowd.iter().filter(crowded).count(), 3);
    assert_eq!(bench.beats(1, &[(9000, 0.5)]).iter().filter(crowded).count(), 0);
    assert_eq!(bench.sharers.followed.len(), 1);
}
