//! The power policy: two thresholds and a brake on the node's counted power, tightened at once and loosened one step a hold.
use crate::budget::{Load, Tally, tally};
use crate::settings::Settings;
use crate::share::{Giver, cut};
use model::snapshot::{PowerStage, PowerState, PowerTrouble};
use model::{Action, DeviceId, Policy, Priority, Proposal, ProposalSink, Timestamp, View, Watts, Why};

/// The order in which classes give up power.
const CUT_ORDER: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];
/// The order in which they get it back.
const RELEASE_ORDER: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// Keeps a node inside its budget.
#[derive(Debug)]
pub struct PowerCap {
    settings: Settings,
    stage: PowerStage,
    /// Beats in a row on which power was low enough to release the brake.
    good_beats: u32,
    /// Since when power has been low enough to loosen, and until when that must last.
    calm: Option<(Timestamp, f64)>,
    draws: u64,
    loads: Vec<Load>,
    givers: Vec<Giver>,
    /// By device index: how often a limit was set again after somebody raised it.
    reasserted: Vec<u32>,
    last: Option<Timestamp>,
    over_budget_s: f64,
}

impl PowerCap {
    /// A policy that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            stage: PowerStage::Free,
            good_beats: 0,
            calm: None,
            draws: 0,
            loads: Vec::new(),
            givers: Vec::new(),
            reasserted: Vec::new(),
            last: None,
            over_budget_s: 0.0,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes over other settings; what has been seen so far stays.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.calm = None;
    }

    /// Is told that the reflex has braked, so that only a beat releases the brake.
    pub fn braked(&mut self) {
        self.stage = PowerStage::Brake;
        self.good_beats = 0;
        self.calm = None;
    }

    /// Moves the stage up as counted power demands, and down from the brake after enough good beats.
    fn climb(&mut self, share: f64) {
        let Settings { low, high, release_gap, brake_release_beats, .. } = self.settings;
        if share > 1.0 {
            self.stage = PowerStage::Brake;
            self.good_beats = 0;
        } else if self.stage == PowerStage::Brake {
            self.good_beats = if share < high - release_gap { self.good_beats + 1 } else { 0 };
            if self.good_beats >= brake_release_beats {
                self.stage = PowerStage::High;
            }
        } else if share > high {
            self.stage = PowerStage::High;
        } else if share > low {
            self.stage = self.stage.max(PowerStage::Low);
        }
    }

    /// Proposes lower limits for what is above the threshold of the stage.
    fn tighten(&mut self, view: &View<'_>, tally: &Tally, sink: &mut ProposalSink) -> bool {
        let share = tally.counted.0 / tally.budget.0;
        match self.stage {
            PowerStage::Brake => self.brake(view, sink),
            PowerStage::High | PowerStage::Low if share > self.settings.high => {
                self.trim(view, tally, &CUT_ORDER, sink)
            }
            PowerStage::Low if share > self.settings.low => self.trim(view, tally, &CUT_ORDER[..1], sink),
            PowerStage::Free | PowerStage::Low | PowerStage::High => true,
        }
    }

    fn brake(&self, view: &View<'_>, sink: &mut ProposalSink) -> bool {
        for load in &self.loads {
            let Some(range) = load.range else { continue };
            if view.cap(load.device).is_none_or(|cap| cap.limit > range.min() + self.settings.deadband) {
                sink.proposals.push(propose(load.device, Action::Brake, Why::OverBudget));
            }
        }
        true
    }

    /// Cuts from these classes until the sum of what devices may draw is below the threshold; `false`: it cannot be met.
    ///
    /// A device that is not capped yet may draw what it draws now; trimming all classes caps every device, idle ones at
    /// their floor, so that the sum of caps and not a hope is what keeps the budget.
    fn trim(
        &mut self,
        view: &View<'_>,
        tally: &Tally,
        classes: &[Priority],
        sink: &mut ProposalSink,
    ) -> bool {
        let Settings { low, high, release_gap, gain_margin, deadband, .. } = self.settings;
        let all = classes.len() == CUT_ORDER.len();
        let target = tally.budget * (if all { high } else { low } - 0.5 * release_gap);
        let factor = 1.0 + gain_margin;
        let mut allowed = tally.rest;
        self.givers.clear();
        for load in &self.loads {
            let cap = view.cap(load.device).map(|cap| cap.limit);
            let Some(range) = load.range else {
                allowed = allowed + load.counted;
                continue;
            };
            let draws = load.power.or(load.enforced).unwrap_or(range.max());
            let from = range.clamp(cap.map_or(draws, |cap| cap.min(draws.max(range.min()))));
            allowed = allowed + from * factor;
            self.givers.push(Giver {
                priority: view.priority(load.device),
                from,
                floor: range.min(),
                to: from,
            });
        }
        let left = cut(&mut self.givers, classes, (allowed - target) * (1.0 / factor));
        let capped = self.loads.iter().filter(|load| load.range.is_some()).zip(&self.givers);
        for (load, giver) in capped.filter(|(_, giver)| classes.contains(&giver.priority)) {
            let now = view.cap(load.device).map(|cap| cap.limit).or(load.enforced);
            if now.is_none_or(|now| giver.to + deadband < now) {
                let why = if all { Why::OverHigh } else { Why::OverLow };
                sink.proposals.push(propose(load.device, Action::Limit(giver.to), why));
            }
        }
        left <= Watts(1.0) || !all
    }

    /// Loosens one step when power has been low for long enough: one class, the most important first.
    fn loosen(&mut self, view: &View<'_>, tally: &Tally, sink: &mut ProposalSink) {
        let Settings { low, high, release_gap, gain_margin, hold, .. } = self.settings;
        let threshold = if self.stage == PowerStage::Low { low } else { high } - release_gap;
        let share = tally.counted.0 / tally.budget.0;
        let calm = !tally.blind && self.stage != PowerStage::Brake && share < threshold;
        if !calm {
            self.calm = None;
            return;
        }
        let (since, wait_s) = *self.calm.get_or_insert_with(|| {
            self.draws += 1;
            (view.now, hold.as_secs_f64() * factor(self.settings.seed, self.draws))
        });
        if view.now.seconds_since(since) < wait_s {
            return;
        }
        self.calm = None;
        let room = (tally.budget * threshold - tally.counted) * (1.0 / (1.0 + gain_margin));
        let class = RELEASE_ORDER
            .into_iter()
            .find(|class| view.caps.iter().any(|cap| view.priority(cap.device) == *class));
        let Some(class) = class else {
            self.stage = PowerStage::Free;
            return;
        };
        let count = view.caps.iter().filter(|cap| view.priority(cap.device) == class).count();
        for cap in view.caps.iter().filter(|cap| view.priority(cap.device) == class) {
            let limit = cap.limit + room * (1.0 / count as f64);
            let back = limit + self.settings.deadband >= cap.original;
            let action = if back { Action::Release } else { Action::Limit(limit) };
            sink.proposals.push(propose(cap.device, action, Why::Headroom));
        }
    }

    /// Sets again a limit that somebody raised, a few times; says whether somebody keeps raising.
    fn reassert(&mut self, view: &View<'_>, sink: &mut ProposalSink) -> bool {
        let mut contended = false;
        self.reasserted.resize(view.frame.devices.len(), 0);
        for load in &self.loads {
            let tries = &mut self.reasserted[load.device.index()];
            let ours = view.cap(load.device).filter(|cap| cap.since < view.now).map(|cap| cap.limit);
            match (ours, load.enforced) {
                (Some(cap), Some(enforced)) if enforced > cap + self.settings.deadband => {
                    contended |= *tries >= self.settings.reassert_max;
                    if *tries < self.settings.reassert_max {
                        *tries += 1;
                        sink.proposals.push(propose(load.device, Action::Limit(cap), Why::Drift));
                    }
                }
                (None, _) => *tries = 0,
                _ => {}
            }
        }
        contended
    }

    fn account(&mut self, now: Timestamp, tally: &Tally) {
        let passed_s = self.last.map_or(0.0, |last| now.seconds_since(last));
        self.last = Some(now);
        if tally.accelerators + tally.rest > tally.budget {
            self.over_budget_s += passed_s;
        }
    }
}

impl Policy for PowerCap {
    fn name(&self) -> &'static str {
        "powercap"
    }

    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink) {
        let Some(budget) = self.settings.budget else {
            self.stage = PowerStage::Free;
            let give_back = |cap: &model::stages::Cap| propose(cap.device, Action::Release, Why::Stop);
            sink.proposals.extend(view.caps.iter().map(give_back));
            return;
        };
        let tally = tally(view, &self.settings, budget, &mut self.loads);
        self.account(view.now, &tally);
        self.climb(tally.counted.0 / budget.0);
        let feasible = self.tighten(view, &tally, sink);
        let contended = self.reassert(view, sink);
        if sink.proposals.is_empty() {
            self.loosen(view, &tally, sink);
        }
        let mut state = PowerState {
            budget,
            accelerators: tally.accelerators,
            rest: tally.rest,
            rest_measured: tally.rest_measured,
            counted: tally.counted,
            low: self.settings.low,
            high: self.settings.high,
            stage: self.stage,
            over_budget_seconds: self.over_budget_s,
            troubles: Vec::new(),
        };
        let not_held = |load: &Load| matches!((view.cap(load.device), load.power), (Some(cap), Some(power)) if view.now.seconds_since(cap.since) > 2.0 && power > cap.limit * self.settings.blind_margin);
        let troubles = [
            (!feasible, PowerTrouble::Infeasible),
            (tally.blind, PowerTrouble::Blind),
            (self.loads.iter().any(not_held), PowerTrouble::CapNotHeld),
            (contended, PowerTrouble::Contended),
        ];
        state.troubles.extend(troubles.into_iter().filter(|(holds, _)| *holds).map(|(_, trouble)| trouble));
        sink.power = Some(state);
    }
}

fn propose(device: DeviceId, action: Action, why: Why) -> Proposal {
    Proposal { device, action, why, event: None, expires: None }
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
