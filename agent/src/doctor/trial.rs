//! The trial of one knob: its original on disk, one small step down, what is read back, what power and clock say, and back.
use super::bench::{Bench, Pace, Subject};
use super::knobs::{Knob as Line, Outcome};
use crate::actuate::journal::{Journal, Original};
use model::{ActuateError, Actuator, Keep, Knob, Order, Reason, Span};
use std::time::Duration;

/// The step, as a share of all positions.
const STEP: f64 = 0.05;
/// A power limit is never lowered further below what the device draws than this: a step that stays above could show nothing.
const BELOW_DRAW: f64 = 0.05;
/// The share of what a limit should take off that has to be seen: sensors differ by 5 % and the load moves.
const SEEN: f64 = 0.5;
/// How long a device has to follow: longer than the second over which some drivers average power (`nvml.h`, field 185), and
/// than the 999 ms of a package's long-term window. How long NVML takes is published nowhere.
const SETTLE: Duration = Duration::from_secs(2);
/// Attempts to give an original back, and the time between two.
const ATTEMPTS: u32 = 3;
const AGAIN: Duration = Duration::from_secs(1);

/// A knob that was turned. Given back on drop too, so that no path leaves it as it is.
struct Turned<'a> {
    actuator: &'a mut dyn Actuator,
    back: Order,
    given_back: bool,
}

impl Turned<'_> {
    /// Gives the original back; says whether it is what is then enforced.
    fn give_back(&mut self, pace: &dyn Pace) -> bool {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                pace.wait(AGAIN);
            }
            let (key, knob, original) = (self.back.key(), self.back.knob(), self.back.value());
            let close = |value: f64| (value - original).abs() <= knob.slack();
            let back = self.actuator.apply(&self.back).is_ok_and(close);
            // What may not be written was not changed either.
            if back || self.actuator.enforced(key, knob).is_ok_and(close) {
                self.given_back = true;
                return true;
            }
        }
        // Once more would change nothing.
        self.given_back = true;
        false
    }
}

impl Drop for Turned<'_> {
    fn drop(&mut self) {
        if !self.given_back {
            let _ = self.actuator.apply(&self.back);
        }
    }
}

/// An error in words.
fn words(error: &ActuateError) -> String {
    super::probe::chain(error)
}

/// What stands in the way of an answer of an actuator.
pub(super) fn refusal(error: &ActuateError) -> Outcome {
    match error.reason {
        Reason::Unsupported | Reason::SymbolMissing => Outcome::None,
        _ => Outcome::Refused,
    }
}

/// What a knob is and may be; nothing is written.
pub(super) fn look(subject: &Subject, knob: Knob, actuator: Option<&mut (dyn Actuator + '_)>) -> Line {
    let line = Line::new(&subject.info, knob);
    let Some(actuator) = actuator else { return line.with(Outcome::None, "nothing is known to turn it") };
    let position = match actuator.enforced(&subject.info.key, knob) {
        Ok(position) => position,
        Err(error) => {
            return Line { reason: Some(error.reason), ..line.with(refusal(&error), words(&error)) };
        }
    };
    let line = Line { position: Some(position), ..line };
    match subject.span(actuator, knob) {
        Ok(span) => Line { lowest: Some(span.min()), highest: Some(span.max()), ..line },
        Err(error) => Line { reason: Some(error.reason), ..line.with(refusal(&error), words(&error)) },
    }
}

/// Tries a knob.
pub(super) fn attempt(
    subject: &Subject,
    knob: Knob,
    bench: &mut Bench,
    (journal, pace): (&mut Journal, &dyn Pace),
) -> Line {
    let key = subject.info.key.as_str();
    let Bench { actuator, meter } = bench;
    let line = look(subject, knob, actuator.as_deref_mut().map(|actuator| actuator as &mut dyn Actuator));
    let (Some(actuator), Outcome::There, Some(position)) = (actuator, line.outcome, line.position) else {
        return line;
    };
    if journal.originals().any(|(known, other, _)| known == key && other == knob) {
        return line.with(Outcome::Untried, "a cap that an earlier run left stands on it");
    }
    // A clock tells by itself, and a group has no power of its own.
    let tell_w = if knob == Knob::PowerLimit { position } else { f64::INFINITY };
    let drawn = if knob == Knob::CpuQuota { None } else { meter.power(key, tell_w, pace) };
    let clock = if knob == Knob::ClockMax { meter.clock(key, pace.now()) } else { None };
    let line = Line { power_before_w: drawn, clock_before_hz: clock, ..line };
    if pace.stopped() {
        return line.with(Outcome::Untried, "stopped");
    }
    let (down, back) = match steps(subject, &line) {
        Ok(steps) => steps,
        Err(why) => return line.with(Outcome::Untried, why),
    };
    let target = down.value();
    if let Err(error) =
        journal.keep([(key, knob, Original { value: position, keep: Keep::Tuning, incarnation: None })])
    {
        return line.with(Outcome::Refused, error.to_string());
    }
    let mut turned = Turned { actuator: actuator.as_mut(), back, given_back: false };
    let wrote = turned.actuator.apply(&down);
    let tried = Line { tried: Some(target), read_back: wrote.as_ref().ok().copied(), ..line };
    let judged = match wrote {
        Err(error) => Line { reason: Some(error.reason), ..tried.with(Outcome::Refused, words(&error)) },
        Ok(value) if value > target + knob.slack() => tried
            .with(Outcome::NoEffect, "it was taken without an error, and what is enforced did not follow"),
        Ok(_) if knob == Knob::CpuQuota => {
            tried.with(Outcome::Unconfirmed, "a group has no power of its own")
        }
        Ok(_) if !tells(knob, target, drawn, clock) => {
            let known = if knob == Knob::ClockMax { clock } else { drawn };
            let why = if known.is_some() { "idle" } else { "it cannot be read" };
            tried.with(Outcome::Unconfirmed, why)
        }
        Ok(_) => {
            pace.wait(SETTLE);
            let after = (meter.power(key, tell_w, pace), meter.clock(key, pace.now()));
            respond(tried, after)
        }
    };
    if turned.give_back(pace) {
        // A journal that keeps what was given back has it given back once more.
        let _ = journal.forget(key, knob);
        Line { restored: Some(true), ..judged }
    } else {
        let why = format!("{} stays in the journal as what is to be given back", knob.say(position));
        Line { restored: Some(false), ..judged.with(Outcome::Stuck, why) }
    }
}

/// The order of one step down, and of the way back; or why there is none.
fn steps(subject: &Subject, line: &Line) -> Result<(Order, Order), &'static str> {
    let (knob, none) = (line.knob, "what it may be is not known");
    let position = line.position.ok_or(none)?;
    let span = line.lowest.zip(line.highest).and_then(|(min, max)| Span::new(min, max)).ok_or(none)?;
    let tighter = |asked: f64| (asked - position).abs() > knob.slack();
    if knob == Knob::PowerLimit && subject.requested_w.is_some_and(tighter) {
        return Err("a limit from elsewhere is tighter than the one that was asked for");
    }
    let target = target(knob, position, span, line.power_before_w);
    if position - target <= 2.0 * knob.slack() {
        return Err("there is no room for a step down");
    }
    let orders = subject.order(knob, target, span).zip(subject.order(knob, position, span));
    orders
        .filter(|(_, back)| back.value() == position)
        .ok_or("what stands now lies outside of what can be set again")
}

/// One step down, whole watts or megahertz.
fn target(knob: Knob, position: f64, span: Span, drawn: Option<f64>) -> f64 {
    let step = position - STEP * (span.max() - span.min());
    match knob {
        Knob::PowerLimit => step.max(drawn.unwrap_or(0.0).min(position) * (1.0 - BELOW_DRAW)).ceil(),
        Knob::ClockMax => (step / 1e6).floor() * 1e6,
        Knob::CpuQuota => step,
    }
    .max(span.min())
}

/// Whether the load is such that the step must show.
fn tells(knob: Knob, target: f64, drawn: Option<f64>, clock: Option<f64>) -> bool {
    match knob {
        Knob::PowerLimit => drawn.is_some_and(|drawn| drawn > target + 2.0 * knob.slack()),
        Knob::ClockMax => clock.is_some_and(|clock| clock > target + knob.slack()),
        Knob::CpuQuota => false,
    }
}

/// What power, or the clock itself, says of a step that must show.
fn respond(line: Line, (power, clock): (Option<f64>, Option<f64>)) -> Line {
    let target = line.tried.unwrap_or(f64::NAN);
    let followed = if line.knob == Knob::PowerLimit {
        // A sensor may read above the limit that holds.
        let owed = |before: f64| line.position.map_or(before, |limit| before.min(limit)) - target;
        line.power_before_w.zip(power).map(|(before, after)| before - after >= SEEN * owed(before))
    } else {
        clock.map(|clock| clock <= target + line.knob.slack())
    };
    let line =
        Line { power_after_w: power, clock_after_hz: clock.filter(|_| line.knob == Knob::ClockMax), ..line };
    match followed {
        Some(true) => line.with(Outcome::Works, ""),
        Some(false) => line.with(Outcome::NoEffect, "it reads back, but no effect was seen"),
        None => line.with(Outcome::Unconfirmed, "what it did could not be read"),
    }
}

#[cfg(test)]
mod tests;
