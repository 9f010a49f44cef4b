//! Who is there: a place for each position of the driver's list. Identity is the UUID, never the position: a guest that the
//! driver lists elsewhere moves with it. A device that does not answer is looked for again with a backoff.
use super::codes::Fault;
use super::raw::Handle;
use super::session::Session;
use model::error::Reason;
use model::{Calls, CollectError, Timestamp};
use std::time::Duration;

/// From one count of the devices to the next.
const COUNT_AGAIN: Duration = Duration::from_secs(10);
/// First and longest wait before a device that does not answer is looked for again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// A device that was missing and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) index: u32,
    pub(super) handle: Handle,
    pub(super) uuid: String,
}

/// Who is told what became of the places.
pub(super) trait Host<T> {
    /// Makes a guest of a device that answers.
    fn meet(&mut self, arrival: Arrival, now: Timestamp) -> T;
    /// The driver lists a guest elsewhere.
    fn moved(&mut self, guest: &mut T, index: u32);
    /// Another device has the identity of a guest; it is not met.
    fn duplicate(&mut self, guest: &mut T);
}

/// Since when and why a place is empty, and when to look again.
#[derive(Debug, Clone, Copy)]
struct Missing {
    due: Timestamp,
    wait: Duration,
    why: Reason,
}

impl Missing {
    fn new(due: Timestamp) -> Self {
        Self { due, wait: Duration::ZERO, why: Reason::Lost }
    }

    fn again(&mut self, now: Timestamp, why: Reason) {
        self.wait = (self.wait * 2).clamp(RETRY_FIRST, RETRY_LAST);
        (self.due, self.why) = (now.after(self.wait), why);
    }
}

#[derive(Debug)]
struct Guest<T> {
    uuid: String,
    guest: T,
    met: Timestamp,
    /// The wait before it was met: one that leaves soon is not looked for sooner than last time.
    wait: Duration,
}

/// A device that answered at an empty place, and the wait before it did.
struct Found {
    place: usize,
    arrival: Arrival,
    wait: Duration,
}

#[derive(Debug)]
enum Seat<T> {
    Taken(Guest<T>),
    Empty(Missing),
}

/// Devices by position.
#[derive(Debug)]
pub(super) struct Roster<T> {
    seats: Vec<Seat<T>>,
    /// Guests whose position is not known at the moment.
    standing: Vec<Guest<T>>,
    /// How many devices the driver counted last.
    counted: usize,
    count_due: Option<Timestamp>,
    /// Whether positions may have changed.
    unsure: bool,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self { seats: Vec::new(), standing: Vec::new(), counted: 0, count_due: None, unsure: false }
    }
}

impl<T> Roster<T> {
    /// Counts devices and looks for missing ones, where that is due.
    ///
    /// # Errors
    /// When the driver is gone, or does not count and nobody is there.
    pub(super) fn seek(
        &mut self,
        session: &Session,
        calls: &Calls,
        now: Timestamp,
        host: &mut impl Host<T>,
    ) -> Result<(), CollectError> {
        if self.count_due.is_none_or(|due| now >= due) {
            self.count(session.count(calls), now)?;
        }
        let mut ask = |index: u32| arrive(session, calls, index);
        if std::mem::take(&mut self.unsure) {
            self.check_positions(&mut ask, now);
        }
        self.fill(&mut ask, now, host);
        Ok(())
    }

    /// Looks at every empty place that is due.
    fn fill(
        &mut self,
        ask: &mut impl FnMut(u32) -> Result<Arrival, Fault>,
        now: Timestamp,
        host: &mut impl Host<T>,
    ) {
        for place in 0..self.counted.min(self.seats.len()) {
            let Seat::Empty(missing) = &mut self.seats[place] else { continue };
            if now < missing.due {
                continue;
            }
            // At most a few dozen devices.
            let arrival = match ask(place as u32) {
                Ok(arrival) => arrival,
                Err(fault) => {
                    missing.again(now, fault.reason());
                    continue;
                }
            };
            let wait = missing.wait;
            self.seat(Found { place, arrival, wait }, ask, now, host);
        }
    }

    /// Seats a device that answered: somebody who stood about or has moved, a new guest, or nobody when it is there already.
    fn seat(
        &mut self,
        found: Found,
        ask: &mut impl FnMut(u32) -> Result<Arrival, Fault>,
        now: Timestamp,
        host: &mut impl Host<T>,
    ) {
        let Found { place, arrival, wait } = found;
        let is_it = |seat: &Seat<T>| matches!(seat, Seat::Taken(guest) if guest.uuid == arrival.uuid);
        let there = self.seats.iter().position(is_it);
        let same =
            |other: &Result<Arrival, Fault>| other.as_ref().map_or(true, |other| other.uuid == arrival.uuid);
        let moved = match there {
            // At most a few dozen devices. One that does not answer at its place may still be there.
            Some(there) if there < self.counted && same(&ask(there as u32)) => {
                return self.refuse(place, there, now, host);
            }
            Some(there) => match std::mem::replace(&mut self.seats[there], Seat::Empty(Missing::new(now))) {
                Seat::Taken(guest) => Some(guest),
                Seat::Empty(_) => None,
            },
            None => {
                let standing = self.standing.iter().position(|guest| guest.uuid == arrival.uuid);
                standing.map(|standing| self.standing.swap_remove(standing))
            }
        };
        self.seats[place] = Seat::Taken(match moved {
            Some(mut guest) => {
                host.moved(&mut guest.guest, arrival.index);
                guest
            }
            None => {
                let uuid = arrival.uuid.clone();
                Guest { uuid, guest: host.meet(arrival, now), met: now, wait }
            }
        });
    }

    /// Leaves a place empty whose device has the identity of another one.
    fn refuse(&mut self, place: usize, there: usize, now: Timestamp, host: &mut impl Host<T>) {
        if let Seat::Taken(guest) = &mut self.seats[there] {
            host.duplicate(&mut guest.guest);
        }
        if let Seat::Empty(missing) = &mut self.seats[place] {
            missing.again(now, Reason::Busy);
        }
    }

    fn count(&mut self, counted: Result<u32, Fault>, now: Timestamp) -> Result<(), CollectError> {
        match counted {
            Ok(count) => {
                self.count_due = Some(now.after(COUNT_AGAIN));
                let count = count as usize;
                self.unsure |= count != self.counted && !self.seats.is_empty();
                self.counted = count;
                // A place beyond a smaller count is kept: whoever sits there says itself that it is lost.
                while self.seats.len() < self.counted {
                    self.seats.push(Seat::Empty(Missing::new(now)));
                }
                Ok(())
            }
            Err(fault) => {
                let gone = matches!(fault.reason(), Reason::Lost | Reason::Missing) || fault.library_gone();
                if !gone && self.seats.iter().any(|seat| matches!(seat, Seat::Taken(_))) {
                    self.count_due = Some(now.after(COUNT_AGAIN));
                    return Ok(());
                }
                let reason = if gone { Reason::Lost } else { fault.reason() };
                Err(CollectError::new("count NVIDIA devices", reason).because(fault))
            }
        }
    }

    /// Lets guests stand up whose place has another device now. One that does not answer for itself keeps its place.
    fn check_positions(&mut self, ask: &mut impl FnMut(u32) -> Result<Arrival, Fault>, now: Timestamp) {
        for (seat, place) in self.seats.iter_mut().zip(0..) {
            let Seat::Taken(guest) = seat else { continue };
            let other =
                place as usize >= self.counted || ask(place).is_ok_and(|arrival| arrival.uuid != guest.uuid);
            if other && let Seat::Taken(guest) = std::mem::replace(seat, Seat::Empty(Missing::new(now))) {
                self.standing.push(guest);
            }
        }
        // Anybody may be anywhere now.
        for seat in &mut self.seats {
            if let Seat::Empty(missing) = seat
                && !self.standing.is_empty()
            {
                missing.due = now;
            }
        }
    }

    /// Visits everybody who is there. A guest for whom the visit fails has left; the place is looked at again later.
    pub(super) fn visit(&mut self, now: Timestamp, mut visit: impl FnMut(&mut T) -> Result<(), Fault>) {
        for seat in &mut self.seats {
            let Seat::Taken(guest) = seat else { continue };
            if let Err(fault) = visit(&mut guest.guest) {
                let stayed = now.since(guest.met) > RETRY_LAST;
                let mut missing = Missing::new(now);
                missing.wait = if stayed { Duration::ZERO } else { guest.wait };
                missing.again(now, fault.reason());
                *seat = Seat::Empty(missing);
                self.unsure = true;
            }
        }
        self.standing.retain_mut(|guest| visit(&mut guest.guest).is_ok());
    }

    /// Whether anybody is there, or nobody is counted.
    ///
    /// # Errors
    /// When devices are counted and none answers: [`Reason::Lost`] when one of them is lost, else why the first does not.
    pub(super) fn check(&self) -> Result<(), CollectError> {
        let mut whys = self.seats.iter().map(|seat| match seat {
            Seat::Taken(_) => None,
            Seat::Empty(missing) => Some(missing.why),
        });
        if self.seats.is_empty() || !self.standing.is_empty() || whys.clone().any(|why| why.is_none()) {
            return Ok(());
        }
        let lost = whys.clone().any(|why| why == Some(Reason::Lost));
        let why = if lost { Reason::Lost } else { whys.next().flatten().unwrap_or(Reason::Lost) };
        Err(CollectError::new(format!("reach any of {} NVIDIA devices", self.seats.len()), why))
    }
}

fn arrive(session: &Session, calls: &Calls, index: u32) -> Result<Arrival, Fault> {
    let handle = session.handle(index, calls)?;
    let uuid = session.gpu(handle, calls).call("nvmlDeviceGetUUID", |device| device.uuid())?;
    Ok(Arrival { index, handle, uuid })
}

#[cfg(test)]
mod tests;
