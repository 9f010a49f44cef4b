//! The estimator on a node of two processors whose counters a test gives.
use super::super::features::{COUNT, Seen, names};
use super::super::forest::Training;
use super::super::frozen::Lesson;
use super::*;
use model::{DeviceInfo, Metric, Reading, Timestamp};
use std::sync::Arc;
use std::time::Duration;

mod hardware;

const CORE: [Metric; 6] = [
    Metric::CoreUser,
    Metric::CoreNice,
    Metric::CoreSystem,
    Metric::CoreIrq,
    Metric::CoreSoftirq,
    Metric::CoreSteal,
];

/// What a group did in a second: ran, waited.
type Second = (f64, f64);

/// A node whose groups do what a test says.
struct Bench {
    frame: Frame,
    now: Timestamp,
    cores: Vec<DeviceId>,
    groups: Vec<(DeviceId, [f64; 3])>,
    busy: f64,
    /// What else is read on the next beat.
    extra: Vec<(DeviceId, Metric, f64)>,
    /// What an engine's page says: time of steps, steps, prompt tokens.
    page: Option<(DeviceId, [f64; 3])>,
    estimator: Estimator,
}

impl Bench {
    fn new(groups: usize, frozen: Option<Frozen>) -> Self {
        Self::with(2, groups, frozen)
    }

    fn with(cores: usize, groups: usize, frozen: Option<Frozen>) -> Self {
        let mut bench = Self {
            frame: Frame::default(),
            now: Timestamp { mono_ns: 1, wall_ms: 1 },
            cores: Vec::new(),
            groups: Vec::new(),
            busy: 0.0,
            extra: Vec::new(),
            page: None,
            estimator: Estimator::new(frozen),
        };
        bench.device(DeviceKind::Node, "host");
        bench.cores = (0..cores).map(|core| bench.device(DeviceKind::Core, &format!("cpu{core}"))).collect();
        for group in 0..groups {
            let id = bench.device(DeviceKind::Cgroup, &format!("g{group}.service"));
            bench.groups.push((id, [0.0; 3]));
        }
        bench
    }

    fn device(&mut self, kind: DeviceKind, key: &str) -> DeviceId {
        Arc::make_mut(&mut self.frame.devices).register(&Arc::new(DeviceInfo::new(kind, key))).unwrap()
    }

    /// One second in which the groups do what is said, the others nothing.
    fn second(&mut self, seconds: &[Second]) {
        self.beat(seconds, 1.0);
    }

    fn beat(&mut self, seconds: &[Second], length_s: f64) {
        self.now = self.now.after(Duration::from_secs_f64(length_s));
        for ((_, totals), (run, wait)) in self.groups.iter_mut().zip(seconds) {
            for (total, grown) in totals.iter_mut().zip([*run, *wait, 50.0 * run + 5.0]) {
                *total += grown * length_s;
            }
        }
        self.busy += seconds.iter().map(|(run, _)| run * length_s).sum::<f64>();
        self.frame.begin(self.now);
        for core in &self.cores {
            CORE.iter().for_each(|metric| self.frame.put(*core, *metric, Reading::Value(0.0)));
            self.frame.put(*core, Metric::CoreUser, Reading::Value(self.busy / self.cores.len() as f64));
        }
        for (group, totals) in &self.groups {
            let metrics = [Metric::CgroupCpu, Metric::CgroupRunDelay, Metric::CgroupTimeslices];
            for (metric, total) in metrics.into_iter().zip(totals) {
                self.frame.put(*group, metric, Reading::Value(*total));
            }
        }
        for (device, metric, value) in self.extra.drain(..) {
            self.frame.put(device, metric, Reading::Value(value));
        }
        if let Some((engine, counted)) = self.page {
            let metrics = [Metric::EngineStepTime, Metric::EngineSteps, Metric::EngineTokensPrompt];
            for (metric, value) in metrics.into_iter().zip(counted) {
                self.frame.put(engine, metric, Reading::Value(value));
            }
        }
        self.estimator.take(&self.frame);
    }

    fn judgement(&self, group: usize) -> Judgement {
        let mut list = Vec::new();
        self.estimator.list(&self.frame, &mut list);
        list.iter().find(|one| one.device == self.groups[group].0).unwrap().judgement
    }

    fn estimate(&self, group: usize) -> Estimate {
        match self.judgement(group) {
            Judgement::Estimate(estimate) => estimate,
            Judgement::Abstained(why) => panic!("abstained: {}", why.as_str()),
        }
    }
}

/// A model of a world in which waiting is all there is, taught by windows of the same bench.
fn taught() -> Frozen {
    let mut profile = Profile::default();
    let mut lessons = Vec::new();
    let mut bench = Bench::new(2, None);
    let mut sampler = Sampler::default();
    for number in 0..400_u32 {
        let share = f64::from(number % 20) / 20.0 * 0.7;
        let (run, other) = if number < 20 { (0.9, 0.01) } else { (0.9 * (1.0 - share), share) };
        bench.second(&[(run, 0.9 - run), (other, 0.0)]);
        sampler.take(&bench.frame);
        let Some((sample, _)) = sampler.window(&bench.frame, bench.groups[0].0) else { continue };
        if number < 20 {
            profile.learn(&sample);
        }
        let Some(seen) = Seen::of(&sample, &profile) else { continue };
        lessons.push(Lesson { seen, y: run / 0.9, met: number >= 20, group: (number % 5) as usize });
    }
    Frozen::train(&lessons, Training::default(), "a test".into())
}

/// Twenty quiet seconds of a victim that runs most of the time.
fn acquainted(groups: usize) -> Bench {
    let mut bench = Bench::new(groups, Some(taught()));
    (0..20).for_each(|_| bench.second(&[(0.9, 0.0)]));
    bench
}

#[test]
fn half_a_processor_is_told_as_half_the_speed_with_resource_and_culprit() {
    let mut bench = acquainted(3);
    assert!(bench.estimate(0).y > 0.95 && bench.estimate(0).resource.is_none());
    (0..8).for_each(|_| bench.second(&[(0.45, 0.45), (0.45, 0.4), (0.02, 0.0)]));
    let estimate = bench.estimate(0);
    assert!((estimate.y - 0.5).abs() < 0.1 && estimate.low <= 0.5 && estimate.high >= 0.5, "{estimate:?}");
    assert_eq!(estimate.resource, Some(Resource::RunQueue));
    assert_eq!(estimate.culprit.map(|culprit| culprit.device), Some(bench.groups[1].0));
    assert!(bench.estimator.alarms().any(|(device, _)| device == bench.groups[0].0));
    (0..3).for_each(|_| bench.second(&[(0.9, 0.0)]));
    assert_eq!(bench.estimator.alarms().count(), 0, "it is over when the neighbour stops");
}

#[test]
fn a_workload_seen_for_the_first_time_among_others_has_no_profile() {
    let mut bench = acquainted(2);
    (0..30).for_each(|_| bench.second(&[(0.9, 0.1), (0.6, 0.3)]));
    assert_eq!(bench.judgement(1), Judgement::Abstained(Abstention::NoProfile));
}

#[test]
fn first_windows_and_beats_far_too_long_are_too_short_or_not_windows() {
    let mut bench = Bench::new(1, Some(taught()));
    bench.second(&[(0.9, 0.0)]);
    assert_eq!(bench.judgement(0), Judgement::Abstained(Abstention::Short));
    let mut bench = acquainted(1);
    bench.beat(&[(0.9, 0.0)], 120.0);
    assert_eq!(bench.judgement(0), Judgement::Abstained(Abstention::Short));
}

#[test]
fn what_hardly_runs_and_what_runs_a_hundred_times_as_much_is_not_judged() {
    let mut bench = acquainted(1);
    bench.second(&[(0.001, 0.0)]);
    assert_eq!(bench.judgement(0), Judgement::Abstained(Abstention::Idle));
    let mut bench = Bench::new(1, Some(taught()));
    (0..20).for_each(|_| bench.second(&[(0.02, 0.0)]));
    bench.second(&[(1.9, 3.0)]);
    assert_eq!(bench.judgement(0), Judgement::Abstained(Abstention::NovelLoad));
}

#[test]
fn a_group_whose_waiting_is_not_counted_is_not_judged_and_nobodys_culprit() {
    let mut bench = acquainted(2);
    (0..8).for_each(|_| {
        bench.second(&[(0.45, 0.45), (0.45, 0.4)]);
    });
    // The same second without the waiting of the neighbour, as of a group that holds others.
    bench.frame.put(bench.groups[1].0, Metric::CgroupRunDelay, Reading::Absent(model::Absence::Unsupported));
    bench.frame.at = bench.now.after(Duration::from_secs(1));
    bench.estimator.take(&bench.frame);
    let followed = bench.estimator.followed[bench.groups[1].0.index()].as_ref().unwrap();
    assert!(!followed.counted);
}

#[test]
fn without_a_model_everything_is_an_abstention_that_says_so() {
    let mut bench = Bench::new(1, None);
    (0..20).for_each(|_| bench.second(&[(0.9, 0.0)]));
    assert_eq!(bench.judgement(0), Judgement::Abstained(Abstention::NoModel));
}

#[test]
fn of_six_hundred_groups_five_hundred_and_twelve_are_followed_in_bounded_memory() {
    let mut bench = Bench::new(600, Some(taught()));
    let seconds = vec![(0.02, 0.0); 600];
    (0..12).for_each(|_| bench.second(&seconds));
    assert_eq!(bench.judgement(599), Judgement::Abstained(Abstention::Crowded));
    assert!(bench.estimator.held_bytes() / WORKLOADS_MAX < 8 << 10, "{}", bench.estimator.held_bytes());
}

#[test]
fn a_workload_that_moves_to_another_group_is_nobody_there_and_idle_where_it_was() {
    let mut bench = Bench::new(3, Some(taught()));
    (0..20).for_each(|_| bench.second(&[(0.9, 0.0), (0.0, 0.0), (0.0, 0.0)]));
    // It moves while a neighbour is busy, so that it is never seen alone where it is now.
    (0..10).for_each(|_| bench.second(&[(0.0, 0.0), (0.5, 0.4), (0.5, 0.4)]));
    assert_eq!(bench.judgement(0), Judgement::Abstained(Abstention::Idle));
    assert_eq!(bench.judgement(1), Judgement::Abstained(Abstention::NoProfile));
    (0..3).for_each(|_| bench.second(&[(0.9, 0.0), (0.0, 0.0), (0.0, 0.0)]));
    assert!(bench.estimate(0).y > 0.95, "and back it is who it was");
}

#[test]
fn groups_that_come_and_go_all_day_leave_room_for_those_that_are_there() {
    let mut bench = Bench::new(0, Some(taught()));
    for round in 0..12 {
        let gone: Vec<DeviceId> = bench.groups.drain(..).map(|(id, _)| id).collect();
        gone.iter().for_each(|id| Arc::make_mut(&mut bench.frame.devices).retire(*id));
        for group in 0..100 {
            let id = bench.device(DeviceKind::Cgroup, &format!("{round}-{group}"));
            bench.groups.push((id, [0.0; 3]));
        }
        let seconds = vec![(0.001, 0.0); 100];
        (0..12).for_each(|_| bench.second(&seconds));
        assert_ne!(bench.judgement(99), Judgement::Abstained(Abstention::Crowded), "round {round}");
        assert_eq!(bench.estimator.count, 100);
    }
}

#[test]
fn a_profile_outlives_a_restart_and_a_group_that_comes_back() {
    let bench = acquainted(1);
    let kept = model::Detector::learnt(&bench.estimator, &bench.frame).unwrap();
    let mut next = Bench::new(1, Some(taught()));
    model::Detector::recall(&mut next.estimator, &kept).unwrap();
    (0..2).for_each(|_| next.second(&[(0.9, 0.0)]));
    assert!(next.estimate(0).y > 0.95, "no waiting for a profile");
    Arc::make_mut(&mut next.frame.devices).retire(next.groups[0].0);
    next.second(&[(0.0, 0.0)]);
    next.device(DeviceKind::Cgroup, "g0.service");
    (0..3).for_each(|_| next.second(&[(0.9, 0.0)]));
    assert!(next.estimate(0).y > 0.95);
    assert!(model::Detector::recall(&mut next.estimator, b"something").is_err());
}

/// `cargo test -p detectors --lib -- --ignored --nocapture what_a_workload_costs`
#[test]
#[ignore = "a measurement"]
fn what_a_workload_costs() {
    // One workload that is judged, with resource and culprit; what its neighbour and the bench cost is in the figure.
    let mut bench = acquainted(2);
    let before = rusage();
    (0..20_000).for_each(|_| bench.second(&[(0.45, 0.45), (0.45, 0.4)]));
    let micros = (rusage() - before) * 1e6 / 20_000.0;
    println!("at most {micros:.2} us of processor time for a workload and beat: {:?}", bench.judgement(0));
}

/// `cargo test -p detectors --lib -- --ignored --nocapture what_a_beat_of_five_hundred`
#[test]
#[ignore = "a measurement"]
fn what_a_beat_of_five_hundred_groups_costs() {
    let mut bench = Bench::with(512, 500, Some(taught()));
    // Alone one after the other, so that all are judged; then all at once, pressing on each other by turns.
    for group in 0..500 {
        let mut seconds = vec![(0.0, 0.0); 500];
        seconds[group] = (0.9, 0.0);
        (0..10).for_each(|_| bench.second(&seconds));
    }
    let mut time = |what: &str, seconds: &[Vec<Second>]| {
        let before = rusage();
        (0..40).for_each(|second| bench.second(&seconds[second % seconds.len()]));
        let ms = (rusage() - before) * 1e3 / 40.0;
        let told: Vec<Judgement> = (0..500).map(|group| bench.judgement(group)).collect();
        let named =
            |judgement: &&Judgement| matches!(judgement, Judgement::Estimate(one) if one.culprit.is_some());
        let named = told.iter().filter(named).count();
        println!("{ms:.2} ms a beat of 500 groups, {what}; {named} have a culprit, the first: {:?}", told[0]);
    };
    time("that idle", &[vec![(0.005, 0.0); 500]]);
    let slowed = |odd: f64| -> Vec<Second> {
        (0..500).map(|group| if group % 2 == 0 { (0.4 - odd, 0.5 + odd) } else { (0.4 + odd, 0.4) }).collect()
    };
    time("that are all slowed", &[slowed(0.0), slowed(0.1), slowed(0.05)]);
    let before = rusage();
    let count = (0..100).map(|_| bench.estimator.profiles(&bench.frame).count()).sum::<usize>() / 100;
    println!("{:.3} ms to list {count} profiles", (rusage() - before) * 10.0);
    println!("{} KiB held", bench.estimator.held_bytes() >> 10);
}

/// Processor time of this thread so far, in seconds.
fn rusage() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// A serving engine in the first group, slowed by the second: by waiting, which the frozen model knows, and by a quarter more
/// beside a busy neighbour, which it was never taught. The engine shows on its page, every so many seconds, what it
/// counted.
struct Serving {
    bench: Bench,
    engine: Option<DeviceId>,
    counted: [f64; 3],
    number: u32,
    page_s: u32,
}

impl Serving {
    fn new(streams: bool, page_s: u32) -> Self {
        let mut bench = Bench::new(2, Some(taught()));
        let engine = streams.then(|| {
            let mut info = DeviceInfo::new(DeviceKind::Engine, "127.0.0.1:8000");
            info.attributes.insert("group".into(), "g0.service".into());
            Arc::make_mut(&mut bench.frame.devices).register(&Arc::new(info)).unwrap()
        });
        Self { bench, engine, counted: [0.0; 3], number: 0, page_s }
    }

    /// One second with so many requests under way, and a neighbour that presses so hard, 0 to 1. Gives what is true.
    fn second(&mut self, requests: f64, presses: f64) -> f64 {
        self.number += 1;
        let noise = 0.04 * ((f64::from(self.number) * 0.618_034).fract() - 0.5);
        let (run, other) = (0.9 * (1.0 - 0.4 * presses), 0.01 + 0.9 * presses);
        let y = run / 0.9 * (1.0 - 0.25 * presses) * (1.0 + noise);
        let step_s = 0.02 * requests.powf(0.3) / y;
        let grown = [requests, requests / step_s, 2.0 * requests / step_s];
        self.counted.iter_mut().zip(grown).for_each(|(total, grown)| *total += grown);
        if let Some(engine) = self.engine.filter(|_| self.number.is_multiple_of(self.page_s)) {
            self.bench.page = Some((engine, self.counted));
        }
        self.bench.second(&[(run, 0.9 - run), (other, 0.0)]);
        y
    }

    /// Phases of quiet and of pressing harder and less hard, gives the mean error and the
    /// coverage over the later half, of means from page to page: that is what can be heard.
    fn run(&mut self, seconds: u32) -> (f64, f64) {
        let (mut error, mut held, mut count) = (0.0, 0.0, 0.0);
        let (mut sums, page_s) = ([0.0; 4], self.page_s);
        for second in 0..seconds {
            let (phase, requests) = (second / 40, [4.0, 16.0, 8.0][(second / 50 % 3) as usize]);
            let presses = [0.0, 0.3, 0.0, 0.9, 0.0, 0.6][(phase % 6) as usize];
            let truth = self.second(requests, presses);
            if second * 2 < seconds {
                continue;
            }
            let told = self.bench.estimate(0);
            let windows = [told.y, told.low, told.high, truth];
            sums.iter_mut().zip(windows).for_each(|(sum, value)| *sum += value / f64::from(page_s));
            if second % page_s == page_s - 1 {
                let [y, low, high, truth] = std::mem::take(&mut sums);
                let truth = truth.min(1.0);
                error += (y - truth).abs();
                held += f64::from(u8::from((low..=high).contains(&truth)));
                count += 1.0;
            }
        }
        (error / count, held / count)
    }
}

#[test]
fn where_an_engines_tokens_stream_back_the_error_shrinks_and_nine_in_ten_intervals_hold() {
    for page_s in [1, 5] {
        let (blind, _) = Serving::new(false, page_s).run(2400);
        let mut serving = Serving::new(true, page_s);
        let (error, held) = serving.run(2400);
        println!(
            "a page every {page_s} s: mean error {blind:.3} without, {error:.3} with it; {held:.3} held"
        );
        assert!(error < 0.3 * blind, "{error} {blind}");
        assert!((0.85..=0.97).contains(&held), "{held}");
        assert_eq!(serving.bench.estimate(0).basis, Basis::Metric);
    }
}

#[test]
fn offered_load_that_falls_or_changes_is_no_interference() {
    let mut serving = Serving::new(true, 5);
    for second in 0..900_u32 {
        let requests = if second < 600 { [4.0, 16.0, 8.0][(second / 50 % 3) as usize] } else { 5.0 };
        serving.second(requests, 0.0);
    }
    let told = serving.bench.estimate(0);
    assert!(told.y > 0.95 && told.high > 0.95 && told.resource.is_none(), "{told:?}");
    assert_eq!(serving.bench.estimator.alarms().count(), 0);
}

#[test]
fn an_engine_that_was_never_seen_alone_is_no_truth() {
    let mut serving = Serving::new(true, 5);
    for second in 0..300 {
        serving.second(8.0, if second < 15 { 0.0 } else { 0.6 });
    }
    assert_ne!(serving.bench.estimate(0).basis, Basis::Metric);
}

#[test]
fn a_workload_with_everything_that_may_be_known_of_it_takes_at_most_eight_kibibytes() {
    let profile = Profile::default().bytes() - size_of::<Profile>();
    let all = size_of::<Followed>() + profile + Hardware::MOST + Stream::MOST;
    assert!(all <= 8 << 10, "{all} bytes");
}

#[test]
fn what_never_varied_in_training_is_no_reason_for_silence_and_what_did_is() {
    let place = |name: &str| names().iter().position(|known| known == name).unwrap();
    let (constant, varied) = (place("FaultsPerRun"), place("others_busy"));
    let lesson = |number: usize| {
        let mut features = [f32::NAN; COUNT];
        features[constant] = 0.0;
        features[varied] = (number % 10) as f32 / 10.0;
        let seen = Seen { features, waiting: 1.0, physics: 1.0, storage: None };
        Lesson { seen, y: 0.9, met: true, group: number % 3 }
    };
    let lessons: Vec<Lesson> = (0..200).map(lesson).collect();
    let frozen = Frozen::train(&lessons, Training::default(), "a test".into());
    let judged = |feature: usize, value: f32| {
        let mut seen = lesson(5).seen;
        seen.features[feature] = value;
        frozen.judge(&seen)
    };
    assert!(judged(constant, -0.13).is_ok(), "a tree cannot look at what has one value");
    assert_eq!(judged(varied, 5.0), Err(Abstention::Unfamiliar));
}
