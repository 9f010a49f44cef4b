//! Contenders: the policies side by side, and what each is given.
use super::baselines::{Proportional, Static, Threshold};
use model::{ProposalSink, View, Watts};
use policy::{PowerCap, Settings};

/// The reserve for processors and the rest that every policy is told, in watts: the defaults of the settings.
pub(super) fn reserve() -> (Watts, Watts) {
    let settings = Settings::default();
    (settings.rest, settings.packages)
}

/// A policy that takes part.
pub(super) trait Law {
    /// Looks at one beat and proposes.
    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink);

    /// The budget is another one now.
    fn set_budget(&mut self, budget: Watts);

    /// The reflex has braked.
    fn braked(&mut self) {}

    /// The settings by which a reflex and a guardian work, where there are any.
    fn settings(&self) -> Option<&Settings> {
        None
    }
}

impl Law for PowerCap {
    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink) {
        model::Policy::decide(self, view, sink);
    }

    fn set_budget(&mut self, budget: Watts) {
        PowerCap::set_budget(self, Some(budget));
    }

    fn braked(&mut self) {
        PowerCap::braked(self);
    }

    fn settings(&self) -> Option<&Settings> {
        Some(PowerCap::settings(self))
    }
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// Nobody holds the budget.
    None,
    /// Every board has its share of the budget for good.
    Static,
    /// One threshold for all boards.
    OneAll,
    /// One threshold for boards with work of low priority.
    OneLow,
    /// A proportional controller.
    Proportional,
    /// wattkeeper.
    Wattkeeper,
    /// The same, which may turn processors as well.
    Host,
}

impl Contender {
    /// Everyone, the node without a policy first: the others' work is measured against its.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Static,
        Self::OneAll,
        Self::OneLow,
        Self::Proportional,
        Self::Wattkeeper,
        Self::Host,
    ];

    /// Whether it is one of ours.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Wattkeeper | Self::Host)
    }

    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no_cap",
            Self::Static => "static_caps",
            Self::OneAll => "one_threshold_all",
            Self::OneLow => "one_threshold_low_priority",
            Self::Proportional => "proportional",
            Self::Wattkeeper => "wattkeeper",
            Self::Host => "wattkeeper_host",
        }
    }

    /// The policy, as it is when it starts; `None` where nobody holds the budget.
    pub(super) fn law(self, budget: Watts, seed: u64) -> Option<Box<dyn Law>> {
        let (rest, packages) = reserve();
        Some(match self {
            Self::None => return None,
            Self::Static => Box::new(Static { budget, reserve_w: (rest + packages).0 }),
            Self::OneAll => Box::new(Threshold::new(budget, rest.0, false)),
            Self::OneLow => Box::new(Threshold::new(budget, rest.0, true)),
            Self::Proportional => Box::new(Proportional::new(budget, rest.0)),
            Self::Wattkeeper | Self::Host => {
                let host = self == Self::Host;
                Box::new(PowerCap::new(Settings { budget: Some(budget), seed, host, ..Settings::default() }))
            }
        })
    }
}
