//! The power policy: two thresholds and a brake on the node's counted power, tightened at once and loosened one step a hold.
use crate::budget::{Meter, Tally};
use crate::cost::Costs;
use crate::drift::Drift;
use crate::host::{self, Host};
use crate::loosen;
use crate::rise::{Rises, Thresholds};
use crate::scene::{Scene, propose};
use crate::settings::Settings;
use crate::share::Giver;
use crate::tighten::{brake, trim_all, trim_low};
use model::snapshot::{PowerStage, PowerState, PowerTrouble};
use model::{Action, Keep, Knob, Policy, Priority, ProposalSink, Timestamp, View, Watts, Why};
use std::time::Duration;

/// Keeps a node inside its budget.
#[derive(Debug)]
pub struct PowerCap {
    settings: Settings,
    stage: PowerStage,
    /// Beats in a row on which power was low enough to release the brake.
    good_beats: u32,
    hold: Hold,
    meter: Meter,
    drift: Drift,
    givers: Vec<Giver>,
    last: Option<Timestamp>,
    over_budget_s: f64,
    rises: Rises,
    costs: Costs,
    host: Host,
}

impl PowerCap {
    /// A policy that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            stage: PowerStage::Free,
            good_beats: 0,
            hold: Hold::default(),
            meter: Meter::default(),
            drift: Drift::default(),
            givers: Vec::new(),
            last: None,
            over_budget_s: 0.0,
            rises: Rises::default(),
            costs: Costs::default(),
            host: Host::default(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes over other settings; what has been seen so far stays, a hold begins anew.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.hold.since = None;
    }

    /// Changes the budget alone; `None` gives every cap back.
    pub fn set_budget(&mut self, budget: Option<Watts>) {
        self.set(Settings { budget, ..self.settings });
    }

    /// What was learnt of this node's rises, to be kept over a restart. May allocate.
    pub fn learnt(&self) -> Vec<u8> {
        self.rises.learnt()
    }

    /// Takes back what an earlier run had learnt.
    ///
    /// # Errors
    /// When the bytes are of another version or make no sense, in words; it then learns anew.
    pub fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.rises.recall(bytes)
    }

    /// Is told that the reflex has braked, so that only a beat releases the brake.
    pub fn braked(&mut self) {
        self.rises.braked(&self.settings);
        self.stage = PowerStage::Brake;
        self.good_beats = 0;
        self.hold.since = None;
    }

    /// Takes the time since the last beat, in seconds, and what it means for the sums.
    fn account(&mut self, now: Timestamp, tally: &Tally) -> f64 {
        let passed_s = self.last.map_or(0.0, |last| now.seconds_since(last)).max(0.0);
        self.last = Some(now);
        if tally.accelerators + tally.rest > tally.budget {
            self.over_budget_s += passed_s;
        }
        passed_s
    }

    /// The settings with the thresholds that this node's rises ask for.
    fn learn(&mut self, tally: &Tally, passed_s: f64) -> Settings {
        let share = tally.certain.then_some(tally.counted.0 / tally.budget.0);
        self.rises.see(share, passed_s, &self.settings);
        let Thresholds { low, high } = self.rises.thresholds(&self.settings);
        Settings { low, high, ..self.settings }
    }

    /// Weighs one beat: the stage first, then what tightens, and only if nothing does, what loosens.
    fn weigh(&mut self, view: &View<'_>, budget: Watts, sink: &mut ProposalSink) {
        let tally = self.meter.read(view, &self.settings, budget);
        let passed_s = self.account(view.now, &tally);
        let settings = self.learn(&tally, passed_s);
        self.drift.look(view, self.meter.loads(), &settings);
        let Self { meter, drift, givers, costs, host, .. } = self;
        let scene = Scene { view, settings: &settings, tally: &tally, loads: meter.loads(), drift };
        costs.look(&scene, passed_s);
        let (stage, good_beats) = next_stage(&scene, self.stage, self.good_beats);
        match scene.share() {
            _ if stage == PowerStage::Brake => brake(&scene, sink),
            _ if scene.covered() => {}
            share if share > settings.high => trim_all(&scene, givers, sink),
            share if share > settings.low => trim_low(&scene, givers, sink),
            _ => {}
        }
        if settings.host {
            host.look(&scene);
            host.tighten(&scene, stage, sink);
        }
        let mut state = state(&scene, stage, self.over_budget_s);
        state.rise = self.rises.worst(&settings);
        (state.costs, state.caps) = std::mem::take(&mut sink.spare);
        state.caps.copy_from(view.caps);
        costs.tell(&scene, &mut state.costs);
        sink.power = Some(state);
        (self.stage, self.good_beats) = (stage, good_beats);
        drift.reassert(sink);
        let scene = Scene { view, settings: &settings, tally: &tally, loads: meter.loads(), drift };
        let calm = sink.proposals.is_empty() && stage != PowerStage::Brake && loosen::calm(&scene);
        if self.hold.over(calm, view.now, &settings) {
            loosen::step(&scene, sink);
            // What is drawn of that is no rise of the load's own.
            self.rises.forget();
        }
        if !settings.host {
            host::free(&scene, sink);
        }
    }
}

impl Policy for PowerCap {
    fn name(&self) -> &'static str {
        "powercap"
    }

    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink) {
        if let Some(budget) = self.settings.budget {
            return self.weigh(view, budget, sink);
        }
        (self.stage, self.hold.since, self.last) = (PowerStage::Free, None, None);
        let model::stages::Caps { power, clocks, quotas } = view.caps;
        let of_budget = |(_, _, keep): &(_, _, Keep)| *keep == Keep::Safety;
        let power = power.iter().map(|cap| (cap.device, Knob::PowerLimit, cap.keep));
        let clocks = clocks.iter().map(|cap| (cap.device, Knob::ClockMax, cap.keep));
        let quotas = quotas.iter().map(|cap| (cap.device, Knob::CpuQuota, cap.keep));
        let all = power.chain(clocks).chain(quotas).filter(of_budget);
        let there = all.filter(|(device, ..)| !view.frame.devices.get(*device).gone);
        let free = |(device, knob, _)| propose(device, Action::Release(knob), Why::Stop);
        sink.proposals.extend(there.map(free));
    }
}

/// The next stage: up at once, down from the brake after enough good beats, and else down with the last cap that a
/// stage is there for.
fn next_stage(scene: &Scene<'_>, stage: PowerStage, good_beats: u32) -> (PowerStage, u32) {
    let Settings { low, high, release_gap, brake_release_beats, .. } = *scene.settings;
    let share = scene.share();
    if share > 1.0 {
        return (PowerStage::Brake, 0);
    }
    if stage == PowerStage::Brake {
        let good = if scene.tally.certain && share < high - release_gap { good_beats + 1 } else { 0 };
        let next = if good >= brake_release_beats { PowerStage::High } else { PowerStage::Brake };
        return (next, good);
    }
    let mut next = stage;
    let held = loosen::capped(scene, Priority::High)
        || loosen::capped(scene, Priority::Normal)
        || host::capped(scene);
    if share < high - release_gap && !held {
        next = next.min(PowerStage::Low);
    }
    if share < low - release_gap && !held && !loosen::capped(scene, Priority::Low) {
        next = PowerStage::Free;
    }
    if share > high {
        next = PowerStage::High;
    } else if share > low {
        next = next.max(PowerStage::Low);
    }
    (next, 0)
}

/// The wait before each loosening.
#[derive(Debug, Clone, Copy, Default)]
struct Hold {
    /// Since when power has been low enough, and for how long that must last.
    since: Option<(Timestamp, Duration)>,
    /// How many waits were drawn.
    draws: u64,
}

impl Hold {
    /// Whether it has been calm for a whole random wait. A new one is drawn after each loosening.
    fn over(&mut self, calm: bool, now: Timestamp, settings: &Settings) -> bool {
        if !calm {
            self.since = None;
            return false;
        }
        let (began, wait) = self.since.unwrap_or_else(|| {
            self.draws += 1;
            (now, settings.hold.mul_f64(factor(settings.seed, self.draws)))
        });
        let over = now.since(began) >= wait;
        self.since = (!over).then_some((began, wait));
        over
    }
}

fn state(scene: &Scene<'_>, stage: PowerStage, over_budget_seconds: f64) -> PowerState {
    let troubles = [
        (!scene.feasible(), PowerTrouble::Infeasible),
        (scene.tally.blind, PowerTrouble::Blind),
        (
            scene.loads.iter().any(|load| scene.not_held(load)) || host::not_held(scene),
            PowerTrouble::CapNotHeld,
        ),
        (
            scene.loads.iter().any(|load| scene.drift.contended(load.device)) || host::contended(scene),
            PowerTrouble::Contended,
        ),
    ];
    PowerState {
        budget: scene.tally.budget,
        accelerators: scene.tally.accelerators,
        rest: scene.tally.rest,
        rest_measured: scene.tally.rest_measured,
        counted: scene.tally.counted,
        low: scene.settings.low,
        high: scene.settings.high,
        stage,
        over_budget_seconds,
        troubles: troubles.into_iter().filter(|(holds, _)| *holds).map(|(_, trouble)| trouble).collect(),
        rise: None,
        costs: Vec::new(),
        caps: model::stages::Caps::default(),
    }
}

/// A random factor from 0.2 to 2 (the finaliser of SplitMix64, Steele et al., OOPSLA 2014).
fn factor(seed: u64, draw: u64) -> f64 {
    let mut x = seed.wrapping_add(draw.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // 53 bits are exact in f64.
    0.2 + 1.8 * ((x >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests;
