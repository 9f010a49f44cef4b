//! Who is there: a place for each position of the driver's list; one that does not answer is looked for again with a backoff.
use super::codes::Fault;
use super::raw::Handle;
use super::session::Session;
use model::error::Reason;
use model::{CollectError, Timestamp};
use std::time::Duration;

/// From one count of the devices to the next.
const COUNT_AGAIN: Duration = Duration::from_secs(10);
/// First and longest wait before a device that does not answer is looked for again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// A device that was missing and answers.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) session: &'a Session,
    pub(super) index: u32,
    pub(super) handle: Handle,
    pub(super) uuid: String,
}

/// Since when and why a place is empty, and when to look again.
#[derive(Debug, Clone, Copy)]
struct Missing {
    due: Timestamp,
    wait: Duration,
    why: Reason,
}

impl Missing {
    fn again(&mut self, now: Timestamp, why: Reason) {
        self.wait = (self.wait * 2).clamp(RETRY_FIRST, RETRY_LAST);
        (self.due, self.why) = (now.after(self.wait), why);
    }
}

#[derive(Debug)]
struct Seat<T> {
    /// Who is here, or was last.
    guest: Option<T>,
    missing: Option<Missing>,
}

/// Devices by position.
#[derive(Debug)]
pub(super) struct Roster<T> {
    seats: Vec<Seat<T>>,
    /// How many devices the driver counted last.
    counted: usize,
    count_due: Option<Timestamp>,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self { seats: Vec::new(), counted: 0, count_due: None }
    }
}

impl<T> Roster<T> {
    /// Counts devices and looks for missing ones, where that is due; `meet` makes a guest of one that answers, and is
    /// given the one that was there before.
    ///
    /// # Errors
    /// When the driver is gone, or does not count and nobody is there.
    pub(super) fn seek(
        &mut self,
        session: &Session,
        now: Timestamp,
        mut meet: impl FnMut(Arrival<'_>, Option<T>) -> T,
    ) -> Result<(), CollectError> {
        if self.count_due.is_none_or(|due| now >= due) {
            self.count(session, now)?;
        }
        for (seat, index) in self.seats.iter_mut().zip(0..).take(self.counted) {
            let Some(missing) = seat.missing.as_mut().filter(|missing| now >= missing.due) else { continue };
            match arrive(session, index) {
                Ok(arrival) => {
                    seat.guest = Some(meet(arrival, seat.guest.take()));
                    seat.missing = None;
                }
                Err(fault) => missing.again(now, fault.reason()),
            }
        }
        Ok(())
    }

    fn count(&mut self, session: &Session, now: Timestamp) -> Result<(), CollectError> {
        match session.count() {
            Ok(count) => {
                self.count_due = Some(now.after(COUNT_AGAIN));
                self.counted = count as usize;
                // A place beyond a smaller count is kept: whoever sat there says itself that it is lost.
                while self.seats.len() < self.counted {
                    let missing = Missing { due: now, wait: Duration::ZERO, why: Reason::Lost };
                    self.seats.push(Seat { guest: None, missing: Some(missing) });
                }
                Ok(())
            }
            Err(fault) => {
                let gone = matches!(fault.reason(), Reason::Lost | Reason::Missing);
                if !gone && self.seats.iter().any(|seat| seat.missing.is_none()) {
                    self.count_due = Some(now.after(COUNT_AGAIN));
                    return Ok(());
                }
                let reason = if gone { Reason::Lost } else { fault.reason() };
                Err(CollectError::new("count NVIDIA devices", reason).because(fault))
            }
        }
    }

    /// Visits everybody who is there. A guest for whom the visit fails is missing from now on.
    pub(super) fn visit(&mut self, now: Timestamp, mut visit: impl FnMut(&mut T) -> Result<(), Fault>) {
        for seat in self.seats.iter_mut().filter(|seat| seat.missing.is_none()) {
            if let Some(Err(fault)) = seat.guest.as_mut().map(&mut visit) {
                let mut missing = Missing { due: now, wait: Duration::ZERO, why: Reason::Lost };
                missing.again(now, fault.reason());
                seat.missing = Some(missing);
            }
        }
    }

    /// Everybody who is there or was.
    pub(super) fn known(&mut self) -> impl Iterator<Item = &mut T> {
        self.seats.iter_mut().filter_map(|seat| seat.guest.as_mut())
    }

    /// Whether anybody is there, or nobody is counted.
    ///
    /// # Errors
    /// When devices are counted and none answers: [`Reason::Lost`] when one of them is lost, else why the first does not.
    pub(super) fn check(&self) -> Result<(), CollectError> {
        let mut whys = self.seats.iter().map(|seat| seat.missing.map(|missing| missing.why));
        if self.seats.is_empty() || whys.clone().any(|why| why.is_none()) {
            return Ok(());
        }
        let lost = whys.clone().any(|why| why == Some(Reason::Lost));
        let why = if lost { Reason::Lost } else { whys.next().flatten().unwrap_or(Reason::Lost) };
        Err(CollectError::new(format!("reach any of {} NVIDIA devices", self.seats.len()), why))
    }
}

fn arrive(session: &Session, index: u32) -> Result<Arrival<'_>, Fault> {
    let handle = session.handle(index)?;
    let uuid = session.device(handle).uuid()?;
    Ok(Arrival { session, index, handle, uuid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(n))
    }

    fn roster(guests: &[&'static str]) -> Roster<&'static str> {
        let seats = guests.iter().map(|name| Seat { guest: Some(*name), missing: None }).collect();
        Roster { seats, counted: guests.len(), count_due: None }
    }

    #[test]
    fn waits_double_from_a_second_to_a_minute() {
        let mut missing = Missing { due: second(0), wait: Duration::ZERO, why: Reason::Lost };
        let mut waits = Vec::new();
        for _ in 0..8 {
            missing.again(second(0), Reason::Lost);
            waits.push(missing.due.since(second(0)).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn who_fails_a_visit_is_not_visited_again_and_stays_known() {
        let mut roster = roster(&["a", "b"]);
        let fails = |name: &mut &str| if *name == "a" { Err(Fault::GPU_IS_LOST) } else { Ok(()) };
        roster.visit(second(0), fails);
        let mut seen = Vec::new();
        roster.visit(second(1), |name| {
            seen.push(*name);
            Ok(())
        });
        assert_eq!(seen, ["b"]);
        assert_eq!(roster.known().count(), 2);
        assert!(roster.check().is_ok());
    }

    #[test]
    fn a_roster_in_which_nobody_answers_fails_for_the_reason_of_the_loss() {
        let mut roster = roster(&["a", "b"]);
        roster.visit(second(0), |_| Err(Fault::UNINITIALIZED));
        assert_eq!(roster.check().map_err(|error| error.reason), Err(Reason::Lost));
        assert!(Roster::<()>::default().check().is_ok(), "a node without GPUs is well");
    }
}
