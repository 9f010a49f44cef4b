//! Tests of the meter of engines on frames made by hand: steps of pages, restarts, gaps, accelerators that are shared.
use super::*;
use model::DeviceInfo;
use std::time::Duration;

struct Bench {
    meter: Meter,
    frame: Frame,
    engine: DeviceId,
    day: Day,
    now: Timestamp,
}

impl Bench {
    /// One engine on these devices of a node of two boards.
    fn new(devices: &str) -> Self {
        let mut frame = Frame::default();
        for board in ["GPU-a", "GPU-b"] {
            let name = format!("gpu{}", u8::from(board == "GPU-b"));
            register(&mut frame, DeviceInfo { name, ..DeviceInfo::new(DeviceKind::Gpu, board) });
        }
        let engine = add_engine(&mut frame, "127.0.0.1:8000", devices);
        let now = Timestamp { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 };
        Self { meter: Meter::default(), frame, engine, day: Day::default(), now }
    }

    /// One second in which the boards use these joules, and the engine's count of tokens.
    fn beat(&mut self, used: [Option<f64>; 2], generated: Option<f64>) {
        self.now = self.now.after(Duration::from_secs(1));
        self.frame.begin(self.now);
        if let Some(generated) = generated {
            self.frame.put(self.engine, Metric::EngineTokensGenerated, Reading::Value(generated));
            self.frame.put(self.engine, Metric::EngineTokensPrompt, Reading::Value(10.0 * generated));
        }
        self.meter.turn(&mut self.frame, &used, &mut self.day);
    }

    fn per_token(&self) -> Option<f64> {
        self.frame.value(self.engine, Metric::EngineEnergyPerToken)
    }

    fn energy(&self) -> Option<f64> {
        self.frame.value(self.engine, Metric::EngineEnergy)
    }
}

fn register(frame: &mut Frame, info: DeviceInfo) -> DeviceId {
    Arc::make_mut(&mut frame.devices).register(&Arc::new(info)).unwrap()
}

fn add_engine(frame: &mut Frame, key: &str, devices: &str) -> DeviceId {
    let mut info = DeviceInfo::new(DeviceKind::Engine, key);
    if !devices.is_empty() {
        info.attributes.insert("devices".into(), devices.into());
    }
    register(frame, info)
}

const BOTH: [Option<f64>; 2] = [Some(300.0), Some(100.0)];

#[test]
fn energy_of_every_accelerator_of_the_engine_goes_over_its_tokens() {
    for (devices, joules) in [("gpu0,gpu1", 4.0), ("GPU-b", 1.0), ("gpu0,gpu0", 3.0)] {
        let mut bench = Bench::new(devices);
        bench.beat(BOTH, Some(5000.0));
        assert_eq!((bench.per_token(), bench.energy()), (None, None), "what was before is not ours");
        for second in 1..=50 {
            // The page is read every fifth second.
            bench.beat(BOTH, Some(5000.0 + f64::from(second / 5 * 500)));
        }
        assert!((bench.per_token().unwrap() - joules).abs() < 1e-9, "{devices}");
        assert!((bench.energy().unwrap() - joules * 5000.0).abs() < 1e-6);
        let day = &bench.day.engines[0];
        assert_eq!((day.generated_tokens, day.prompt_tokens, day.metered_tokens), (5000.0, 50_000.0, 5000.0));
        assert!((day.per_token_j().unwrap() - joules).abs() < 1e-9);
    }
}

#[test]
fn idling_makes_tokens_dearer_and_then_nothing_is_said() {
    let mut bench = Bench::new("gpu0,gpu1");
    for second in 0..=60 {
        bench.beat(BOTH, Some(f64::from(second) * 100.0));
    }
    assert!((bench.per_token().unwrap() - 4.0).abs() < 1e-9);
    for _ in 0..120 {
        bench.beat(BOTH, Some(6000.0));
    }
    assert!(bench.per_token().unwrap() > 8.0, "{:?}", bench.per_token());
    for _ in 0..1200 {
        bench.beat(BOTH, Some(6000.0));
    }
    assert_eq!(bench.per_token(), None);
    assert!(bench.energy().unwrap() > 400.0 * 1300.0, "idling is counted all the same");
}

#[test]
fn a_restart_counts_neither_tokens_nor_the_energy_before() {
    let mut bench = Bench::new("gpu0,gpu1");
    bench.beat(BOTH, Some(1000.0));
    bench.beat(BOTH, Some(1100.0));
    for _ in 0..30 {
        bench.beat(BOTH, None);
        assert_eq!(bench.per_token(), None);
    }
    bench.beat(BOTH, Some(7.0));
    assert_eq!(bench.energy(), Some(400.0));
    bench.beat(BOTH, Some(107.0));
    assert_eq!((bench.energy(), bench.per_token()), (Some(800.0), Some(4.0)));
    assert_eq!(bench.day.engines[0].generated_tokens, 200.0);
}

#[test]
fn a_page_that_is_silent_for_a_while_loses_nothing() {
    let mut bench = Bench::new("gpu0,gpu1");
    bench.beat(BOTH, Some(0.0));
    (0..9).for_each(|_| bench.beat(BOTH, None));
    bench.beat(BOTH, Some(1000.0));
    assert_eq!((bench.energy(), bench.per_token()), (Some(4000.0), Some(4.0)));
}

#[test]
fn a_stretch_of_unknown_energy_is_left_out_of_both() {
    let mut bench = Bench::new("gpu0,gpu1");
    bench.beat(BOTH, Some(0.0));
    bench.beat([Some(300.0), None], Some(0.0));
    assert_eq!(bench.frame.get(bench.engine, Metric::EngineEnergyPerToken), Reading::Absent(Absence::Lost));
    bench.beat(BOTH, Some(50.0));
    assert_eq!(bench.energy(), None);
    bench.beat(BOTH, Some(150.0));
    assert_eq!((bench.energy(), bench.per_token()), (Some(400.0), Some(4.0)));
    assert_eq!((bench.day.engines[0].generated_tokens, bench.day.engines[0].metered_tokens), (150.0, 100.0));
}

#[test]
fn an_accelerator_that_is_unknown_or_shared_gives_no_figure() {
    let mut none = Bench::new("");
    let mut unknown = Bench::new("gpu0,gpu9");
    let mut shared = Bench::new("gpu0");
    let other = add_engine(&mut shared.frame, "127.0.0.1:8001", "GPU-a,gpu1");
    for bench in [&mut none, &mut unknown, &mut shared] {
        for second in 0..20 {
            bench.beat(BOTH, Some(f64::from(second) * 100.0));
        }
        assert_eq!((bench.per_token(), bench.energy()), (None, None));
        assert_eq!(bench.day.engines[0].generated_tokens, 1900.0, "tokens are known all the same");
        assert_eq!(bench.day.engines[0].per_token_j(), None);
    }
    assert_eq!(shared.frame.value(other, Metric::EngineEnergyPerToken), None);
    // The other one goes, and what is left has the accelerator to itself.
    Arc::make_mut(&mut shared.frame.devices).retire(other);
    for second in 20..30 {
        shared.beat(BOTH, Some(f64::from(second) * 100.0));
    }
    assert!((shared.per_token().unwrap() - 3.0).abs() < 1e-9);
}
