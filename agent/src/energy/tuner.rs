//! The tuner: learns what settings cost and save on the beat, and proposes them where the operator allows a slowdown.
use crate::config::Power;
use model::{Frame, Proposal, View, Why};
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
        propose(wishes, view, Why::Efficiency, proposals);
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
