//! The keeper by itself: what it does when nobody briefs it any more, what it tells of its knobs, and giving all of them back.
use super::restore::Name;
use super::{Brief, Keeper, Known};
use crate::guardian::wire::Given;
use crate::hands::{Ask, Position};
use model::{Action, Decision, DeviceId, Keep, Knob, Mode, Outcome, Reason, Timestamp, Verdict, Watts, Why};
use policy::fallback::{Holdable, limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
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

impl Orphan {
    /// Has the limits looked at now, unless another agent is still waited for.
    pub(super) fn look_at(&mut self, now: Timestamp) {
        self.due = self.due.min(now.max(self.since));
    }
}

/// A board and the limit that it is to have.
struct Target {
    key: Arc<str>,
    device: DeviceId,
    enforced: Watts,
    limit: Watts,
}

fn decision(device: DeviceId, limit: Watts, why: Why, at: Timestamp) -> Decision {
    let (action, keep, mode) = (Action::Limit(limit), Keep::Safety, Mode::Enforce);
    Decision { id: 0, at, device, action, why, event: None, expires: None, keep, mode }
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
    /// What becomes of it when its keeper goes.
    pub keep: Option<Keep>,
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
        self.owed.clear();
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

    /// Tightens what is in force until it fits in the budget, then gives back what only tuned; says whether anything had to
    /// be tightened. What one board refuses, the others pay for, and what one may draw that is late.
    fn fall_back(&mut self, budget: Watts, now: Timestamp) -> bool {
        let known = self.brief.devices.clone();
        let asks: Vec<Ask> = known.iter().map(|known| Ask::enforced(&known.key, Knob::PowerLimit)).collect();
        let mut stubborn = vec![false; known.len()];
        let (mut acted, mut sound, mut targets) = (false, true, Vec::new());
        for _ in 0..2 {
            let positions = self.hands.look(&asks, now);
            let late = positions.iter().map(|position| *position == Err(Reason::Late));
            stubborn.iter_mut().zip(late).for_each(|(stubborn, late)| *stubborn |= late);
            targets = self.targets((&known, &positions), &stubborn, budget);
            let tighter = targets.iter().filter(|target| target.limit < target.enforced);
            let decisions: Vec<Decision> =
                tighter.map(|target| decision(target.device, target.limit, Why::Fallback, now)).collect();
            if decisions.is_empty() {
                break;
            }
            acted = true;
            let outcomes = self.settle(&decisions, now);
            let failed =
                |outcome: &Outcome| !matches!(outcome.verdict, Verdict::Applied | Verdict::Unchanged);
            for (decision, _) in decisions.iter().zip(&outcomes).filter(|(_, outcome)| failed(outcome)) {
                let of = known.iter().position(|known| known.device == decision.device);
                of.into_iter().for_each(|of| stubborn[of] = true);
            }
            sound = !outcomes.iter().any(failed);
            self.note(decisions, &outcomes);
            if sound {
                break;
            }
        }
        if sound && !self.hands.is_hung(now) {
            self.end_tuning(&targets, now);
        }
        acted
    }

    /// Gives back what only tuned: a clock or a quota whole, a power limit as far as the budget allows.
    fn end_tuning(&mut self, targets: &[Target], now: Timestamp) {
        let tuning =
            |entry: &policy::ledger::Entry| entry.written.is_some_and(|written| written.keep == Keep::Tuning);
        let names: Vec<(Name, f64)> = self
            .ledger
            .iter()
            .filter(|(_, _, entry)| tuning(entry))
            .map(|(key, knob, entry)| ((key.to_owned(), knob), entry.original))
            .collect();
        for (name, original) in names {
            let of = |target: &&Target| name.1 == Knob::PowerLimit && *target.key == *name.0;
            match targets.iter().find(of) {
                Some(target) if target.limit.0 < original => {
                    let decisions = vec![decision(target.device, target.limit, Why::Stop, now)];
                    let outcomes = self.settle(&decisions, now);
                    self.note(decisions, &outcomes);
                }
                _ => {
                    // What cannot be given back stays in the journal.
                    let _ = self.give_back(&[name], now);
                }
            }
        }
    }

    /// The limit of every board that can be held, so that all of them fit in the budget. A power limit that only tunes counts
    /// as if it were given back.
    fn targets(
        &self,
        (known, positions): (&[Known], &[Result<Position, Reason>]),
        stubborn: &[bool],
        budget: Watts,
    ) -> Vec<Target> {
        let margin = self.brief.terms.margin.max(1.0);
        let mut room = budget - self.brief.footing.rest;
        let (mut boards, mut targets) = (Vec::new(), Vec::new());
        for ((known, position), stubborn) in known.iter().zip(positions).zip(stubborn) {
            let enforced = self.in_force(&known.key, *position);
            match known.range {
                Some(range) if !stubborn => {
                    let enforced = enforced.unwrap_or(range.max());
                    let entry = self.ledger.get(&known.key, Knob::PowerLimit);
                    let tunes = |written: policy::ledger::Written| written.keep == Keep::Tuning;
                    let freed = entry
                        .filter(|entry| entry.written.is_some_and(tunes))
                        .map(|entry| Watts(entry.original));
                    let limit = freed.unwrap_or(enforced).max(enforced);
                    boards.push(Holdable { floor: range.min(), limit });
                    targets.push(Target {
                        key: Arc::clone(&known.key),
                        device: known.device,
                        enforced,
                        limit,
                    });
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
        let new = limits(room * margin.recip(), &boards);
        for ((target, board), new) in targets.iter_mut().zip(boards).zip(new) {
            // Whole watts: what a driver rounds up would not fit any more.
            let whole = Watts(new.0.floor()).max(board.floor).min(board.limit);
            target.limit = if new < board.limit { whole } else { new };
        }
        targets
    }

    /// The limit that a board is held to: where it does not answer in time, the one that was read back last.
    fn in_force(&self, key: &str, position: Result<Position, Reason>) -> Option<Watts> {
        if position != Err(Reason::Late) {
            return position.ok().map(|position| Watts(position.enforced));
        }
        let written = self.ledger.get(key, Knob::PowerLimit).and_then(|entry| entry.written);
        written.map(|written| Watts(written.limit))
    }

    /// Takes over from another agent: its handles of devices, and nothing of what was under way for the one before.
    pub(super) fn meet(&mut self, brief: &Brief) {
        self.pending.clear();
        self.forget_late();
        self.report.outcomes.clear();
        self.report.taken.clear();
        self.report.brakes = 0;
        self.reflex = policy::reflex::Reflex::default();
        self.retries.clear();
        let names: Vec<Name> = self.ledger.iter().map(|(key, knob, _)| (key.to_owned(), knob)).collect();
        for (key, knob) in names {
            match brief.all().find(|known| *known.key == *key) {
                Some(known) => self.ledger.meet(&key, known.device),
                // Its handle would be somebody else's; it is adopted when it is seen again.
                None => self.ledger.doubt(&key, knob),
            }
        }
    }

    /// Gives every original back, each by itself, and enforces nothing more until it is briefed again.
    pub fn release(&mut self, now: Timestamp) -> Vec<Given> {
        self.orphan = None;
        self.brief.mode = Mode::Advise;
        self.pending.clear();
        self.owed.clear();
        let (names, originals): (Vec<Name>, Vec<f64>) =
            self.ledger.iter().map(|(key, knob, entry)| ((key.to_owned(), knob), entry.original)).unzip();
        let given = self.give_back(&names, now);
        let give = |((name, original), read_back): ((Name, f64), Result<f64, Reason>)| {
            // What is gone has nothing that could be given back.
            let gone = read_back.is_err() && self.ledger.get(&name.0, name.1).is_none();
            (!gone).then_some(Given { device: name.0, knob: name.1, original, read_back })
        };
        names.into_iter().zip(originals).zip(given).filter_map(give).collect()
    }

    /// Every knob of ours.
    pub fn rows(&mut self, now: Timestamp) -> Vec<Row> {
        let entries: Vec<_> =
            self.ledger.iter().map(|(key, knob, entry)| ((key.to_owned(), knob), *entry)).collect();
        let asks: Vec<Ask> = entries.iter().map(|((key, knob), _)| Ask::enforced(key, *knob)).collect();
        let positions = self.hands.look(&asks, now);
        let row =
            |((name, entry), position): ((Name, policy::ledger::Entry), Result<Position, Reason>)| Row {
                original: entry.original,
                set: entry.written.map(|written| written.limit),
                enforced: position.ok().map(|position| position.enforced),
                since: entry.written.map(|written| written.since),
                keep: entry.written.map(|written| written.keep),
                why: self.reasons.get(&name).copied(),
                device: name.0,
                knob: name.1,
            };
        entries.into_iter().zip(positions).map(row).collect()
    }
}
