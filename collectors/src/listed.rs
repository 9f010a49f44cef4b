//! Devices that a library lists and one thread reads: identities, losses, doubles, and a table of calls with their cadence.
//!
//! For libraries whose documents do not say that several threads may call them. Identity is the device's own key, never its
//! position: a device that is listed elsewhere keeps its readings.
use crate::able::Able;
use crate::library::{Fault, Scope};
use model::error::Reason;
use model::{
    Absence, Batch, CollectError, Collector, DeviceInfo, Metric, NoticeKind, Reading, Slot, Timestamp,
};
use std::time::Duration;

/// From one listing to the next, and how long the answers of slow calls stand.
const SLOW: Duration = Duration::from_secs(10);
/// First and longest wait before a device that is lost is looked for again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Where a call puts its values, in base units.
pub(crate) type Put<'a> = &'a mut dyn FnMut(Metric, f64);

/// One call of a vendor's table.
pub(crate) struct Call<V: Vendor> {
    /// What it gives.
    pub(crate) metrics: &'static [Metric],
    /// Whether it is worth asking every ten seconds only.
    pub(crate) slow: bool,
    /// The call. What it puts before it fails is taken; what it does not put is absent for the reason of the fault.
    pub(crate) read: fn(&V, V::Place, Put<'_>) -> Result<(), Fault>,
}

/// A library that lists devices.
pub(crate) trait Vendor: Send + 'static {
    /// Where a device is listed.
    type Place: Copy + PartialEq + std::fmt::Debug + Send;
    /// What is kept of a device between beats.
    type Memory: Default + Send;

    /// Lists the devices.
    fn list(&self) -> Result<Vec<Self::Place>, Fault>;
    /// Who is at a place; `number` counts devices that were met, for the name.
    fn identify(&self, place: Self::Place, number: usize) -> Result<DeviceInfo, Fault>;
    /// The table of calls.
    fn calls() -> &'static [Call<Self>]
    where
        Self: Sized;
    /// Adds what is no plain number: processes, notices, readings that follow from others.
    fn add(&self, seat: &mut Seat<Self>, now: Timestamp, batch: &mut Batch) -> Result<(), Fault>
    where
        Self: Sized;
}

/// A device that was met.
pub(crate) struct Seat<V: Vendor> {
    /// Where it is listed now.
    pub(crate) place: V::Place,
    /// Its handle in the batch.
    pub(crate) slot: Slot,
    /// What is kept of it.
    pub(crate) memory: V::Memory,
    /// What the calls of this beat gave.
    pub(crate) fresh: Vec<(Metric, Reading)>,
    info: DeviceInfo,
    able: Vec<Able>,
    kept: Vec<(Metric, Reading)>,
    slow_due: Timestamp,
    there: bool,
    doubled: bool,
}

impl<V: Vendor> Seat<V> {
    /// The value that this beat's calls gave for a metric.
    pub(crate) fn value(&self, metric: Metric) -> Option<f64> {
        let all = self.fresh.iter().chain(&self.kept);
        all.rev().find(|(known, _)| *known == metric).and_then(|(_, reading)| reading.value())
    }

    /// Makes the calls that are due.
    fn call(&mut self, vendor: &V, now: Timestamp) -> Result<(), Fault> {
        let slow = now >= self.slow_due;
        if slow {
            self.kept.clear();
            self.slow_due = now.after(SLOW);
        }
        self.fresh.clear();
        for (call, able) in V::calls().iter().zip(&mut self.able) {
            if (call.slow && !slow) || *able == Able::Lacks {
                continue;
            }
            let kept = if call.slow { &mut self.kept } else { &mut self.fresh };
            let first = kept.len();
            let answer = (call.read)(vendor, self.place, &mut |metric, value| {
                kept.push((metric, metric.reading(value)));
            });
            able.learn(&answer, Fault::never);
            let Err(fault) = answer else { continue };
            if matches!(fault.scope, Scope::Device | Scope::Library) {
                return Err(fault);
            }
            let put = kept.len();
            for metric in call.metrics {
                if !kept[first..put].iter().any(|(known, _)| known == metric) {
                    kept.push((*metric, Reading::Absent(fault.absence)));
                }
            }
        }
        Ok(())
    }
}

/// Every device of a library.
pub(crate) struct Listed<V: Vendor> {
    vendor: V,
    name: &'static str,
    seats: Vec<Seat<V>>,
    due: Option<Timestamp>,
    wait: Duration,
}

impl<V: Vendor> Listed<V> {
    /// A source with this name that has met nobody yet.
    pub(crate) fn new(vendor: V, name: &'static str) -> Self {
        Self { vendor, name, seats: Vec::new(), due: None, wait: Duration::ZERO }
    }

    fn failed(&self, operation: &str, fault: Fault) -> CollectError {
        let reason = if fault.scope == Scope::Library { Reason::Lost } else { fault.reason() };
        CollectError::new(format!("{operation} {} devices", self.name), reason).because(fault)
    }

    fn list(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), Fault> {
        let places = self.vendor.list()?;
        let mut listed = vec![false; self.seats.len()];
        let mut lost = false;
        for place in places {
            match self.vendor.identify(place, self.seats.len()) {
                Ok(info) => self.seat(place, info, &mut listed, (now, &mut *batch)),
                Err(fault) if fault.scope == Scope::Library => return Err(fault),
                Err(_) => lost = true,
            }
        }
        for (seat, listed) in self.seats.iter_mut().zip(listed).filter(|(seat, _)| seat.there) {
            if !listed {
                seat.there = false;
                batch.gone(seat.slot, now);
                lost = true;
            }
        }
        self.wait = if lost { (self.wait * 2).clamp(RETRY_FIRST, RETRY_LAST) } else { Duration::ZERO };
        self.due = Some(now.after(if lost { self.wait } else { SLOW }));
        Ok(())
    }

    /// Seats a device under its identity. Only the first of two with one identity is read.
    fn seat(
        &mut self,
        place: V::Place,
        info: DeviceInfo,
        listed: &mut Vec<bool>,
        (now, batch): (Timestamp, &mut Batch),
    ) {
        let Some(known) = self.seats.iter().position(|seat| seat.info.key == info.key) else {
            let slot = batch.device(info.clone());
            self.seats.push(Seat {
                place,
                slot,
                memory: V::Memory::default(),
                fresh: Vec::new(),
                info,
                able: vec![Able::Untried; V::calls().len()],
                kept: Vec::new(),
                slow_due: now,
                there: true,
                doubled: false,
            });
            listed.push(true);
            return;
        };
        let seat = &mut self.seats[known];
        if std::mem::replace(&mut listed[known], true) {
            if !std::mem::replace(&mut seat.doubled, true) {
                batch.notice(seat.slot, NoticeKind::Duplicate, 0, now);
            }
            return;
        }
        // The name goes by the order of arrival, so it is the old one's.
        let info = DeviceInfo { name: seat.info.name.clone(), ..info };
        let changed = (&info.model, &info.attributes) != (&seat.info.model, &seat.info.attributes);
        seat.place = place;
        if !seat.there || changed {
            // What it can do may have changed with a reset.
            seat.able.fill(Able::Untried);
            seat.slow_due = now;
            seat.slot = batch.device(info.clone());
            seat.there = true;
        }
        if changed {
            batch.notice(seat.slot, NoticeKind::Changed, 0, now);
            seat.info = info;
        }
    }

    fn read(&mut self, place: usize, now: Timestamp, batch: &mut Batch) -> Result<(), Fault> {
        let Self { vendor, seats, .. } = self;
        let seat = &mut seats[place];
        seat.call(vendor, now)?;
        vendor.add(seat, now, batch)?;
        for (metric, reading) in seat.fresh.iter().chain(&seat.kept) {
            batch.put(seat.slot, *metric, *reading);
        }
        let silent = seat.fresh.iter().all(|(_, reading)| reading.value().is_none());
        if silent {
            batch.absent(seat.slot, Metric::Up, Absence::Lost);
        } else {
            batch.flag(seat.slot, Metric::Up, true);
        }
        Ok(())
    }

    fn lose(&mut self, place: usize, now: Timestamp, batch: &mut Batch) {
        let seat = &mut self.seats[place];
        seat.there = false;
        batch.gone(seat.slot, now);
        self.wait = (self.wait * 2).clamp(RETRY_FIRST, RETRY_LAST);
        self.due = Some(now.after(self.wait));
    }
}

impl<V: Vendor> Collector for Listed<V> {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Lists devices where that is due, and reads all that are there. `Lost` when the library or its driver is gone.
    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.due.is_none_or(|due| now >= due) {
            self.list(now, batch).map_err(|fault| self.failed("list", fault))?;
        }
        for place in 0..self.seats.len() {
            if !self.seats[place].there {
                continue;
            }
            match self.read(place, now, batch) {
                Ok(()) => {}
                Err(fault) if fault.scope == Scope::Library => return Err(self.failed("read", fault)),
                Err(_) => self.lose(place, now, batch),
            }
        }
        Ok(())
    }

    /// Lists the devices again and compares them with what they were.
    fn reopen(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        self.list(now, batch).map_err(|fault| self.failed("list", fault))
    }
}
