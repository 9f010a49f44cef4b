//! The keeper by itself: what it does when nobody briefs it any more, what it tells of its knobs, and giving all of them back.
use super::{Keeper, Known};
use crate::guardian::wire::Given;
use model::{Action, Decision, Knob, Mode, Outcome, Timestamp, Verdict, Watts, Why};
use policy::fallback::{Holdable, limits};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// From the agent's death to the moment from which the reflex goes by the fallback budget: boards need a moment to follow
/// new limits. Dynamo (ISCA'16) saw RAPL settle in about 2 s.
const SETTLE: Duration = Duration::from_secs(3);
/// From one look at the limits in force to the next.
const LOOK: Duration = Duration::from_secs(1);
/// The same where somebody raises limits again and again: it is not fought over.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// What is done if no further brief comes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// The budget of the node without its agent; `None`: the budget.
    pub fallback: Option<Watts>,
    /// What a board may draw over its limit, as a factor.
    pub margin: f64,
}

/// The state of a keeper whose agent is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orphan {
    since: Timestamp,
    due: Timestamp,
    pause: Duration,
}

/// One knob of ours, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The device.
    pub device: String,
    /// The knob.
    pub knob: Knob,
    /// The value before our first write.
    pub original: f64,
    /// The value that was set; none where a write's end is not known.
    pub set: Option<f64>,
    /// The value in force now; none where it cannot be read.
    pub enforced: Option<f64>,
    /// When it was set.
    pub since: Option<Timestamp>,
    /// Why it was set; none where a predecessor did it.
    pub why: Option<Why>,
}

impl Keeper {
    /// Whoever attached under this number is gone: brings the node within its fallback budget. Without effect when somebody
    /// else has attached since, or when nothing was to be enforced.
    ///
    /// `grace`: how long another one is waited for first.
    pub fn orphan(&mut self, attached: u64, now: Timestamp, grace: Duration) {
        if self.brief.attached != attached || self.orphan.is_some() || !self.busy() {
            return;
        }
        tracing::warn!(
            grace_s = grace.as_secs_f64(),
            "the agent is gone: caps stay, and the node goes to its fallback budget"
        );
        let since = now.after(grace);
        self.orphan = Some(Orphan { since, due: since, pause: LOOK });
        self.pending.clear();
        self.hold_on(now);
    }

    /// Whether it holds on by itself.
    pub fn is_orphan(&self) -> bool {
        self.orphan.is_some()
    }

    /// Keeps the node within the fallback budget while nobody else does.
    pub(super) fn hold_on(&mut self, now: Timestamp) {
        let Some(mut orphan) = self.orphan.filter(|orphan| orphan.due <= now) else { return };
        let Some(budget) = self.brief.footing.budget else { return };
        let fallback = self.brief.terms.fallback.map_or(budget, |fallback| fallback.min(budget));
        if self.state.journal().is_ok() && self.fall_back(fallback, now) && orphan.due > orphan.since {
            orphan.pause = (orphan.pause * 2).min(LOOK_MAX);
        }
        if now.since(orphan.since) >= SETTLE {
            self.brief.footing.budget = Some(fallback);
        }
        orphan.due = now.after(orphan.pause);
        self.orphan = Some(orphan);
    }

    /// Tightens what is in force until it fits in the budget; says whether anything had to be. What one board refuses, the
    /// others pay for.
    fn fall_back(&mut self, budget: Watts, now: Timestamp) -> bool {
        let known = self.brief.devices.clone();
        let mut stubborn: Vec<bool> = vec![false; known.len()];
        let mut acted = false;
        for _ in 0..2 {
            let decisions = self.fallback_decisions(&known, &stubborn, budget, now);
            if decisions.is_empty() {
                break;
            }
            acted = true;
            let outcomes = self.settle(&decisions, now);
            let refused =
                |outcome: &Outcome| !matches!(outcome.verdict, Verdict::Applied | Verdict::Unchanged);
            for (decision, _) in decisions.iter().zip(&outcomes).filter(|(_, outcome)| refused(outcome)) {
                let of = known.iter().position(|known| known.device == decision.device);
                of.into_iter().for_each(|of| stubborn[of] = true);
            }
            let all = !outcomes.iter().any(refused);
            self.note(decisions, &outcomes);
            if all {
                break;
            }
        }
        acted
    }

    fn fallback_decisions(
        &mut self,
        known: &[Known],
        stubborn: &[bool],
        budget: Watts,
        now: Timestamp,
    ) -> Vec<Decision> {
        let margin = self.brief.terms.margin.max(1.0);
        let mut room = budget - self.brief.footing.rest;
        let mut holdable = Vec::new();
        for (known, stubborn) in known.iter().zip(stubborn) {
            let enforced = self.enforced(&known.key);
            match known.range {
                Some(range) if !stubborn => {
                    holdable.push((
                        known.device,
                        Holdable { floor: range.min(), limit: enforced.unwrap_or(range.max()) },
                    ));
                }
                // Nothing can be done about it, so it counts at its worst.
                range => {
                    let footing = &self.brief.footing.devices;
                    let worst =
                        footing.iter().find(|(device, _)| *device == known.device).map(|(_, worst)| *worst);
                    let limit = enforced.or(range.map(model::Range::max)).map(|limit| limit * margin);
                    room = room - limit.or(worst).unwrap_or(Watts::ZERO);
                }
            }
        }
        let boards: Vec<Holdable> = holdable.iter().map(|(_, board)| *board).collect();
        let new = limits(room * margin.recip(), &boards);
        let tighter = holdable.iter().zip(new).filter(|((_, board), limit)| *limit < board.limit);
        tighter
            // Whole watts: what a driver rounds up would not fit any more.
            .map(|((device, board), limit)| {
                (*device, Watts(limit.0.floor()).max(board.floor).min(board.limit))
            })
            .map(|(device, limit)| Decision {
                id: 0,
                at: now,
                device,
                action: Action::Limit(limit),
                why: Why::Fallback,
                event: None,
                expires: None,
                mode: Mode::Enforce,
            })
            .collect()
    }

    /// Takes over from another agent: its handles of devices, and nothing of what was under way for the one before.
    pub(super) fn meet(&mut self, devices: &[Known]) {
        self.pending.clear();
        self.report.outcomes.clear();
        self.report.taken.clear();
        self.report.brakes = 0;
        self.reflex = policy::reflex::Reflex::default();
        self.retries.clear();
        let keys: Vec<String> = self.ledger.iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            match devices.iter().find(|known| *known.key == *key) {
                Some(known) => self.ledger.meet(&key, known.device),
                // Its handle would be somebody else's; it is adopted when it is seen again.
                None => self.ledger.doubt(&key),
            }
        }
    }

    /// Gives every original back, each by itself, and enforces nothing more until it is briefed again.
    pub fn release(&mut self, now: Timestamp) -> Vec<Given> {
        self.orphan = None;
        self.brief.mode = Mode::Advise;
        self.pending.clear();
        let keys: Vec<(String, Watts)> =
            self.ledger.iter().map(|(key, entry)| (key.to_owned(), entry.original)).collect();
        let give = |(device, original): (String, Watts)| {
            let read_back = self.give_back(&device, now).map(|limit| limit.0);
            Given { device, knob: Knob::PowerLimit, original: original.0, read_back }
        };
        keys.into_iter().map(give).collect()
    }

    /// Every knob of ours.
    pub fn rows(&mut self) -> Vec<Row> {
        let entries: Vec<_> = self.ledger.iter().map(|(key, entry)| (key.to_owned(), *entry)).collect();
        let row = |(device, entry): (String, policy::ledger::Entry)| Row {
            knob: Knob::PowerLimit,
            original: entry.original.0,
            set: entry.written.map(|written| written.limit.0),
            enforced: self.enforced(&device).map(|limit| limit.0),
            since: entry.written.map(|written| written.since),
            why: self.reasons.get(&device).copied(),
            device,
        };
        entries.into_iter().map(row).collect()
    }
}
