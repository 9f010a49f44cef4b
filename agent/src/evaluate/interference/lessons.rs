//! Lessons: each window of a data set as an estimator on the node would have seen it, with the truth beside it.
use crate::lab::table::{Kind, Window};
use detectors::interference::{Profile, Seen};
use model::Resource;
use std::collections::BTreeMap;

/// One window with what was seen of it, and the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The victim.
    pub victim: String,
    /// The antagonist, empty for none.
    pub antagonist: String,
    /// The campaign.
    pub campaign: u32,
    /// The life of one victim and the encounter in it, whose windows are alike and stand in the order in which they were recorded.
    pub encounter: (u32, u32),
    /// What it was recorded for.
    pub kind: Kind,
    /// What an estimator sees.
    pub seen: Seen,
    /// Performance over performance alone, at most 1.
    pub y: f64,
    /// The resource that is contended by design of the encounter; `None` where that is not known.
    pub resource: Option<Resource>,
}

impl Case {
    /// Whether models may be trained on it.
    pub fn trains(&self) -> bool {
        self.kind != Kind::Control
    }
}

/// The cases of a data set, and how many windows have none, since no profile is near their load.
///
/// The profile of each victim is learnt from the quiet windows of its block alone, in order, as on a node. A quiet window is seen
/// against the whole profile of its block.
pub fn cases(windows: &[Window]) -> (Vec<Case>, usize) {
    let mut profiles: BTreeMap<(u32, u32), Profile> = BTreeMap::new();
    for window in windows.iter().filter(|window| window.kind == Kind::Quiet) {
        profiles.entry((window.campaign, window.block)).or_default().learn(&window.sample);
    }
    let case = |window: &Window| {
        let profile = profiles.get(&(window.campaign, window.block))?;
        let y = Some(window.y()).filter(|y| y.is_finite())?;
        Some(Case {
            victim: window.victim.clone(),
            antagonist: window.antagonist.clone(),
            campaign: window.campaign,
            encounter: (window.block, window.encounter),
            kind: window.kind,
            seen: Seen::of(&window.sample, profile)?,
            y,
            resource: contended(window),
        })
    };
    let cases: Vec<Case> = windows.iter().filter_map(case).collect();
    let dropped = windows.len() - cases.len();
    (cases, dropped)
}

/// What an encounter is about, by its design: who keeps the victim's processor busy makes it wait there; who does not meets it
/// where both go.
fn contended(window: &Window) -> Option<Resource> {
    let shares_processor = window.placement != "other";
    match (window.antagonist.as_str(), window.victim.as_str()) {
        ("disk", "disk") => Some(Resource::Io),
        ("disk" | "", _) => None,
        _ if shares_processor => Some(Resource::RunQueue),
        ("cache", _) => Some(Resource::Cache),
        ("bandwidth", _) => Some(Resource::MemoryBandwidth),
        ("memory", _) => Some(Resource::Memory),
        ("network", "rpc") => Some(Resource::Network),
        _ => None,
    }
}
