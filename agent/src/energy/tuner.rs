//! The tuner: learns what settings cost and save on the beat, and proposes them where the operator allows a slowdown.
use crate::config::Power;
use model::{Frame, Proposal, View};
use policy::efficiency::{Dial, Efficiency, Eye, Settings, propose};
use serde_json::{Value, json};

/// Eye and learner of the node.
#[derive(Debug, Default)]
pub struct Tuner {
    eye: Eye,
    learner: Efficiency,
    /// Generations by device index: a handle that was given to another device starts anew.
    generations: Vec<u32>,
}

/// The settings that a configuration makes. Without enforcement a trial would compare a setting with itself, so there is none.
fn settings(power: &Power) -> Settings {
    let allowed = if power.enforce { power.slowdown_max_percent / 100.0 } else { 0.0 };
    Settings { slowdown_max: allowed, ..Settings::default() }
}

impl Tuner {
    /// A tuner that knows nothing.
    pub fn new(power: &Power) -> Self {
        Self { learner: Efficiency::new(settings(power)), ..Self::default() }
    }

    /// Takes over another power section.
    pub fn reconfigure(&mut self, power: &Power) {
        self.learner.reconfigure(settings(power));
    }

    /// Follows one beat and adds proposals behind those of the budget. `pressure`: whether the budget trims anything.
    pub fn turn(&mut self, view: &View<'_>, pressure: bool, proposals: &mut Vec<Proposal>) {
        self.generations.resize(view.frame.devices.len(), 0);
        for device in view.frame.devices.accelerators() {
            let known = &mut self.generations[device.id.index()];
            if *known != device.generation {
                *known = device.generation;
                self.learner.forget(device.id);
            }
        }
        let seen = self.eye.look(view);
        let wishes = self.learner.turn(seconds(view.frame), pressure, seen);
        propose(wishes, view, pressure, proposals);
    }

    /// What was learnt, one object a setting: shares of the highest setting, slowdown and energy per work against it, null
    /// where they were not compared; work is in a unit of its own phase.
    pub fn curves(&self, frame: &Frame) -> Value {
        let setting = |learnt: policy::efficiency::Learnt| {
            let info = &frame.devices.get(learnt.device).info;
            let knob = if learnt.dial == Dial::Clock { "clock_max" } else { "power_limit" };
            json!({
                "device": info.key, "name": info.name, "work": learnt.work, "knob": knob, "share": learnt.share,
                "power_w": learnt.power_w, "work_per_second": learnt.rate, "seconds": learnt.seconds,
                "slowdown": learnt.slowdown, "energy_per_work": learnt.cost, "best": learnt.best,
            })
        };
        self.learner.learnt(seconds(frame)).into_iter().map(setting).collect()
    }
}

fn seconds(frame: &Frame) -> f64 {
    // Exact to a microsecond for centuries.
    frame.at.mono_ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, History, Metric, Mode, Reading, Timestamp, Work, WorkState};
    use std::sync::Arc;
    use std::time::Duration;

    fn power(enforce: bool, slowdown_max_percent: f64) -> Power {
        Power { enforce, slowdown_max_percent, ..Power::default() }
    }

    /// Ten minutes of one board that decodes; gives every proposal.
    fn ten_minutes(tuner: &mut Tuner, frame: &mut Frame) -> Vec<Proposal> {
        let mut proposals = Vec::new();
        let (history, caps) = (History::new(1), model::stages::Caps::default());
        let device = frame.devices.accelerators().next().unwrap().id;
        for second in 1..=600 {
            frame.begin(Timestamp::default().after(Duration::from_secs(second)));
            let limits = [(Metric::PowerLimitMax, 700.0), (Metric::PowerLimitEnforced, 700.0)];
            let values = [(Metric::PowerAverage, 300.0), (Metric::DramActive, 0.6)];
            for (metric, value) in limits.into_iter().chain(values) {
                frame.put(device, metric, Reading::Value(value));
            }
            frame.works.push(WorkState { device, work: Work::Decode, confidence: 1.0, since: frame.at });
            let view = View {
                now: frame.at,
                frame,
                history: &history,
                events: &[],
                caps: &caps,
                reaches: &[],
                priorities: &[],
                outcomes: &[],
                mode: Mode::Enforce,
            };
            tuner.turn(&view, false, &mut proposals);
        }
        proposals
    }

    fn one_board() -> Frame {
        let mut frame = Frame::default();
        let info = Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
        Arc::make_mut(&mut frame.devices).register(&info).unwrap();
        frame
    }

    #[test]
    fn nothing_is_tried_by_default_or_without_enforcement_and_curves_are_told_all_the_same() {
        for (enforce, percent, tried) in [(true, 0.0, false), (false, 10.0, false), (true, 10.0, true)] {
            let (mut tuner, mut frame) = (Tuner::new(&power(enforce, percent)), one_board());
            let proposals = ten_minutes(&mut tuner, &mut frame);
            assert_eq!(!proposals.is_empty(), tried, "{enforce} {percent}");
            let curves = tuner.curves(&frame);
            assert_eq!(curves[0]["device"], "GPU-a");
            assert_eq!((&curves[0]["share"], &curves[0]["slowdown"]), (&json!(1.0), &Value::Null));
        }
    }
}
