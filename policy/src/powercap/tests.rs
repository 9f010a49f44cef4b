//! Tests of the power policy against a small closed loop.
use super::*;
use model::stages::Cap;
use model::{DeviceInfo, DeviceKind, Frame, History, Metric, Mode, Reading};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Boards whose power is what they want, up to their limit; the keeper carries proposals out at once.
struct Plant {
    frame: Frame,
    history: History,
    ids: Vec<DeviceId>,
    wants: Vec<f64>,
    readable: Vec<bool>,
    limits: Vec<f64>,
    priorities: Vec<Priority>,
    caps: Vec<Cap>,
    now: Timestamp,
    policy: PowerCap,
    sink: ProposalSink,
}

const REST: f64 = 1200.0;

impl Plant {
    fn new(wants: &[f64], priorities: &[Priority], budget: f64) -> Self {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut add =
            |n| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")))).unwrap();
        let ids = (0..wants.len()).map(&mut add).collect();
        let settings = Settings { budget: Some(Watts(budget)), ..Settings::default() };
        Self {
            frame,
            history: History::new(8),
            ids,
            wants: wants.to_vec(),
            readable: vec![true; wants.len()],
            limits: vec![700.0; wants.len()],
            priorities: priorities.to_vec(),
            caps: Vec::new(),
            now: Timestamp::default(),
            policy: PowerCap::new(settings),
            sink: ProposalSink::default(),
        }
    }

    fn power(&self, n: usize) -> f64 {
        self.wants[n].min(self.limits[n])
    }

    fn total(&self) -> f64 {
        (0..self.ids.len()).map(|n| self.power(n)).sum::<f64>() + REST
    }

    fn beat(&mut self) -> Vec<Proposal> {
        self.now = self.now.after(Duration::from_secs(1));
        self.frame.begin(self.now);
        for n in 0..self.ids.len() {
            let power = if self.readable[n] {
                Reading::Value(self.power(n))
            } else {
                Reading::Absent(model::Absence::Late)
            };
            let values = [
                (Metric::PowerInstant, power),
                (Metric::PowerLimitEnforced, Reading::Value(self.limits[n])),
                (Metric::PowerLimitMin, Reading::Value(200.0)),
                (Metric::PowerLimitMax, Reading::Value(700.0)),
                (Metric::PowerLimitDefault, Reading::Value(700.0)),
            ];
            for (metric, reading) in values {
                self.frame.put(self.ids[n], metric, reading);
            }
        }
        self.history.append(&self.frame);
        self.sink.begin();
        let view = View {
            now: self.now,
            frame: &self.frame,
            history: &self.history,
            events: &[],
            caps: &self.caps,
            priorities: &self.priorities,
            outcomes: &[],
            mode: Mode::Enforce,
        };
        self.policy.decide(&view, &mut self.sink);
        let proposals = self.sink.proposals.clone();
        proposals.iter().for_each(|proposal| self.carry_out(proposal));
        proposals
    }

    fn carry_out(&mut self, proposal: &Proposal) {
        let n = self.ids.iter().position(|id| *id == proposal.device).unwrap();
        self.limits[n] = match proposal.action {
            Action::Limit(limit) => limit.0.clamp(200.0, 700.0),
            Action::Brake => 200.0,
            Action::Release => 700.0,
        };
        self.caps.retain(|cap| cap.device != proposal.device);
        if proposal.action != Action::Release {
            let limit = Watts(self.limits[n]);
            self.caps.push(Cap { device: proposal.device, limit, original: Watts(700.0), since: self.now });
        }
    }

    fn stage(&self) -> PowerStage {
        self.sink.power.as_ref().unwrap().stage
    }
}

const MIXED: [Priority; 8] = [
    Priority::High,
    Priority::High,
    Priority::Normal,
    Priority::Normal,
    Priority::Normal,
    Priority::Normal,
    Priority::Low,
    Priority::Low,
];

#[test]
fn below_the_low_threshold_nothing_is_proposed() {
    let mut plant = Plant::new(&[300.0; 8], &MIXED, 6000.0);
    for _ in 0..20 {
        assert_eq!(plant.beat(), []);
    }
    assert_eq!(plant.stage(), PowerStage::Free);
}

#[test]
fn above_the_low_threshold_only_low_priority_work_is_trimmed() {
    let mut plant = Plant::new(&[450.0; 8], &MIXED, 6000.0);
    let touched: Vec<_> = plant.beat().iter().map(|p| (p.device.index(), p.why)).collect();
    assert_eq!(touched, [(6, Why::OverLow), (7, Why::OverLow)]);
    for _ in 0..5 {
        plant.beat();
    }
    assert_eq!(plant.stage(), PowerStage::Low);
    assert!(plant.limits[..6].iter().all(|limit| *limit == 700.0), "{:?}", plant.limits);
}

#[test]
fn above_the_budget_everything_brakes_and_three_good_beats_release_the_latch() {
    let mut plant = Plant::new(&[690.0; 8], &MIXED, 5000.0);
    assert!(plant.beat().iter().all(|p| p.action == Action::Brake));
    assert_eq!(plant.limits, [200.0; 8]);
    plant.beat();
    plant.beat();
    assert_eq!(plant.stage(), PowerStage::Brake);
    plant.beat();
    assert_eq!(plant.stage(), PowerStage::High);
    for _ in 0..300 {
        plant.beat();
        assert!(plant.total() <= 5000.0, "{} W", plant.total());
    }
    assert!(
        plant.limits[0] > plant.limits[7] && plant.limits[0] > 300.0,
        "high priority first: {:?}",
        plant.limits
    );
}

#[test]
fn caps_go_when_the_load_goes() {
    let mut plant = Plant::new(&[650.0; 8], &MIXED, 6200.0);
    for _ in 0..10 {
        plant.beat();
    }
    assert!(!plant.caps.is_empty());
    plant.wants = vec![80.0; 8];
    for _ in 0..200 {
        plant.beat();
    }
    assert_eq!(plant.limits, [700.0; 8]);
    assert_eq!(plant.stage(), PowerStage::Free);
}

#[test]
fn a_device_that_cannot_be_read_is_counted_at_its_limit_and_nothing_is_loosened() {
    let mut plant = Plant::new(&[650.0; 8], &MIXED, 6200.0);
    for _ in 0..10 {
        plant.beat();
    }
    plant.wants = vec![80.0; 8];
    plant.readable[3] = false;
    let before = plant.limits.clone();
    for _ in 0..200 {
        plant.beat();
        assert!(plant.limits.iter().zip(&before).all(|(now, then)| now <= then), "{:?}", plant.limits);
    }
    assert!(plant.sink.power.as_ref().unwrap().troubles.contains(&PowerTrouble::Blind));
}

#[test]
fn a_budget_below_the_floors_is_said_to_be_infeasible() {
    let mut plant = Plant::new(&[650.0; 8], &MIXED, 2900.0);
    plant.beat();
    assert_eq!(plant.limits, [200.0; 8]);
    plant.policy.stage = PowerStage::High;
    plant.beat();
    let troubles = &plant.sink.power.as_ref().unwrap().troubles;
    assert!(troubles.contains(&PowerTrouble::Infeasible) || plant.total() < 2900.0 * 0.89, "{troubles:?}");
}

#[test]
fn a_limit_that_somebody_raises_is_set_again_three_times_and_then_called_contended() {
    let mut plant = Plant::new(&[650.0; 8], &MIXED, 6200.0);
    for _ in 0..4 {
        plant.beat();
    }
    let mut drifts = 0;
    for _ in 0..8 {
        plant.limits[0] = 700.0;
        drifts += plant.beat().iter().filter(|p| p.why == Why::Drift).count();
    }
    assert!((1..=3).contains(&drifts), "{drifts}");
    let troubles = &plant.sink.power.as_ref().unwrap().troubles;
    assert!(troubles.contains(&PowerTrouble::Contended), "{troubles:?}");
}

#[test]
fn without_a_budget_caps_are_given_back() {
    let mut plant = Plant::new(&[650.0; 8], &MIXED, 6200.0);
    for _ in 0..4 {
        plant.beat();
    }
    assert!(!plant.caps.is_empty());
    plant.policy.set(Settings { budget: None, ..*plant.policy.settings() });
    plant.beat();
    assert_eq!(plant.limits, [700.0; 8]);
}

proptest! {
    #[test]
    fn whatever_the_load_does_power_ends_below_the_budget_and_limits_stay_in_range(
        loads in prop::collection::vec(prop::collection::vec(60.0..700.0_f64, 8), 1..12),
        budget in 3600.0..7000.0_f64,
    ) {
        let mut plant = Plant::new(&loads[0], &MIXED, budget);
        for wants in &loads {
            plant.wants.clone_from(wants);
            let mut loosened = Vec::new();
            for beat in 0..12 {
                let proposals = plant.beat();
                if proposals.iter().any(|p| p.why == Why::Headroom) {
                    loosened.push(beat);
                }
                prop_assert!(plant.limits.iter().all(|limit| (200.0..=700.0).contains(limit)));
            }
            prop_assert!(plant.total() <= budget, "{} W of {budget}", plant.total());
            prop_assert!(loosened.windows(2).all(|pair| pair[1] - pair[0] >= 1));
        }
    }

    #[test]
    fn trimming_all_leaves_a_sum_of_caps_below_the_budget(wants in prop::collection::vec(60.0..700.0_f64, 8), budget in 3800.0..6000.0_f64) {
        let mut plant = Plant::new(&wants, &MIXED, budget);
        plant.beat();
        prop_assume!(plant.stage() >= PowerStage::High);
        let most: f64 = plant.limits.iter().sum::<f64>() + REST;
        prop_assert!(most <= budget, "{most} W may be drawn of {budget}");
    }
}
