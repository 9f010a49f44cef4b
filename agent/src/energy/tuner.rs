//! The tuner: learns what settings cost and save on the beat, and proposes them where the operator allows a slowdown.
use crate::config::Power;
use model::{Frame, Proposal, View};
use policy::efficiency::{Dial, Efficiency, Eye, Settings, kept, propose};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What kept curves begin with; the digit is the version of their numbers.
const MAGIC: &[u8] = b"WKE1\n";

/// Eye and learner of the node.
#[derive(Debug, Default)]
pub struct Tuner {
    eye: Eye,
    learner: Efficiency,
    /// Generations by device index: a handle that was given to another device starts anew.
    generations: Vec<u32>,
    /// What an earlier run had learnt of devices that were not met yet, by their keys.
    waiting: BTreeMap<String, Vec<f64>>,
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
        self.take_back(view.frame);
        let seen = self.eye.look(view);
        let wishes = self.learner.turn(seconds(view.frame), pressure, seen);
        propose(wishes, view, pressure, proposals);
    }

    /// The name of what is kept.
    pub const fn name() -> &'static str {
        "efficiency"
    }

    /// What was learnt, to be kept over a restart: a version, then numbers by the devices' keys. May allocate.
    pub fn learnt(&self, frame: &Frame) -> Vec<u8> {
        let mut all = self.waiting.clone();
        for device in frame.devices.accelerators() {
            all.extend(self.learner.kept(device.id).map(|numbers| (device.info.key.clone(), numbers)));
        }
        // Finite numbers and strings always make text.
        let text = serde_json::to_vec(&all).unwrap_or_default();
        [MAGIC, &text].concat()
    }

    /// Takes back what an earlier run had learnt, as soon as each device is met.
    ///
    /// # Errors
    /// When the bytes are of another version or make no sense, in words; it then learns anew.
    pub fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let text = bytes.strip_prefix(MAGIC).ok_or("of another version")?;
        let read: BTreeMap<String, Vec<f64>> = serde_json::from_slice(text).map_err(|_| "damaged")?;
        read.values().try_for_each(|numbers| kept::check(numbers))?;
        self.waiting = read;
        Ok(())
    }

    /// Gives devices that are met what was learnt of them.
    fn take_back(&mut self, frame: &Frame) {
        if self.waiting.is_empty() {
            return;
        }
        for device in frame.devices.accelerators() {
            if let Some(numbers) = self.waiting.remove(&device.info.key) {
                // They were checked when they were read.
                let _ = self.learner.take_back(device.id, &numbers, seconds(frame));
            }
        }
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
    fn curves_outlive_the_agent_and_wait_for_their_device() {
        let (mut tuner, mut frame) = (Tuner::new(&power(true, 10.0)), one_board());
        ten_minutes(&mut tuner, &mut frame);
        let (before, kept) = (tuner.curves(&frame), tuner.learnt(&frame));
        let mut next = Tuner::new(&power(true, 10.0));
        next.recall(&kept).unwrap();
        assert_eq!(next.learnt(&Frame::default()), kept, "what was not met is not lost at the next writing");
        let mut empty = Frame::default();
        empty.begin(Timestamp::default());
        next.take_back(&empty);
        assert_eq!(next.curves(&frame), json!([]));
        next.take_back(&frame);
        assert_eq!(next.curves(&frame), before);
        assert_eq!(next.learnt(&frame), kept);
    }

    #[test]
    fn what_is_damaged_or_older_is_refused_whole_and_learnt_anew() {
        let (mut tuner, mut frame) = (Tuner::new(&power(true, 10.0)), one_board());
        ten_minutes(&mut tuner, &mut frame);
        let kept = tuner.learnt(&frame);
        let mut negative: BTreeMap<String, Vec<f64>> = serde_json::from_slice(&kept[MAGIC.len()..]).unwrap();
        negative.get_mut("GPU-a").unwrap()[1] = -1.0;
        let negative = [MAGIC, &serde_json::to_vec(&negative).unwrap()].concat();
        let short = [MAGIC, br#"{"GPU-a":[0.0,1.0]}"#].concat();
        let cases = [
            ([b"WKE0\n", &kept[MAGIC.len()..]].concat(), "of another version"),
            (Vec::new(), "of another version"),
            (kept[..kept.len() - 1].to_vec(), "damaged"),
            (short, "another length"),
            (negative, "a number that cannot be"),
        ];
        for (bytes, fault) in cases {
            let mut next = Tuner::new(&power(true, 10.0));
            assert_eq!(next.recall(&bytes), Err(fault));
            next.take_back(&frame);
            assert_eq!(next.curves(&frame), json!([]), "{fault}");
        }
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
