//! The scene: one beat as the power policy weighs it.
use crate::budget::{Load, Tally};
use crate::drift::Drift;
use crate::settings::Settings;
use model::stages::Cap;
use model::{Action, DeviceId, Keep, Proposal, Range, View, Watts, Why};

/// One beat: what was seen, what it adds up to, and what it is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) tally: &'a Tally,
    pub(crate) loads: &'a [Load],
    pub(crate) drift: &'a Drift,
}

impl Scene<'_> {
    /// Counted power as a share of the budget.
    pub(crate) fn share(&self) -> f64 {
        self.tally.counted.0 / self.tally.budget.0
    }

    /// The rise that the thresholds are made for.
    fn rise(&self) -> f64 {
        self.settings.high.recip() - 1.0
    }

    /// Whether limits tell what accelerators may come to draw: each has one that nobody contends, and that it holds.
    fn bounded(&self) -> bool {
        let bounded =
            |load: &Load| load.range.is_some() && !self.drift.contended(load.device) && !self.not_held(load);
        self.settings.limits_bound && self.loads.iter().all(bounded)
    }

    /// What is to be kept free for what no limit bounds, where limits bound accelerators: the host, which rises as the whole does.
    pub(crate) fn kept_free(&self) -> Option<Watts> {
        self.bounded().then(|| self.tally.rest * self.rise())
    }

    /// Whether limits keep power inside the budget whatever accelerators do.
    pub(crate) fn covered(&self) -> bool {
        let by_limits = |free: Watts| self.tally.counted + self.headroom() + free <= self.tally.budget;
        self.kept_free().is_some_and(by_limits)
    }

    /// What accelerators may draw more than they are counted at. Without a limit that is known nothing bounds one.
    fn headroom(&self) -> Watts {
        let more = |load: &Load| {
            let limit = self.in_force(load).or(load.range.map(Range::max));
            limit.map_or(self.tally.budget, |limit| (limit * load.factor - load.counted).max(Watts::ZERO))
        };
        self.loads.iter().map(more).sum()
    }

    /// How much more limits may allow, so that a share of the budget is free even if all of it is drawn; below nothing where limits
    /// bound nothing.
    pub(crate) fn cover(&self, gap: f64) -> Watts {
        let Some(free) = self.kept_free() else { return self.tally.budget * -1.0 };
        self.tally.budget * (1.0 - gap) - self.tally.counted - self.headroom() - free
    }

    /// Whether the cap has been there for long enough that power follows it.
    pub(crate) fn settled<U>(&self, cap: &Cap<U>) -> bool {
        self.view.now.since(cap.since) >= self.settings.settle
    }

    /// The limit in force on a device: the enforced one, or our cap where that is newer than the reading.
    pub(crate) fn in_force(&self, load: &Load) -> Option<Watts> {
        match (self.view.cap(load.device), load.enforced) {
            (Some(cap), Some(enforced)) if self.settled(cap) => Some(enforced),
            (Some(cap), Some(enforced)) => Some(cap.limit.min(enforced)),
            (Some(cap), None) => Some(cap.limit),
            (None, enforced) => enforced,
        }
    }

    /// Whether all floors and everything that cannot be capped fit into the budget.
    pub(crate) fn feasible(&self) -> bool {
        let least = |load: &Load| load.range.map_or(load.counted, |range| range.min() * load.factor);
        self.tally.rest + self.loads.iter().map(least).sum() <= self.tally.budget
    }

    /// Whether a device draws more than its settled cap, by more than its sensor may err.
    pub(crate) fn not_held(&self, load: &Load) -> bool {
        let cap = self.view.cap(load.device).filter(|cap| self.settled(cap));
        let over = |(limit, power): (Watts, Watts)| power > limit * load.factor + self.settings.deadband;
        cap.and(self.in_force(load)).zip(load.power).is_some_and(over)
    }
}

/// A proposal without an event and without an expiry: a safety cap holds until it is released.
pub(crate) fn propose(device: DeviceId, action: Action, why: Why) -> Proposal {
    Proposal { device, action, why, event: None, expires: None, keep: Keep::Safety }
}
