//! The source of one GPU: who it is, what it can say, and its readings of a beat. It runs on a thread of its own.
use super::calls::{CALLS, Cadence};
use super::codes::Fault;
use super::fields::{BEAT_FIELDS, Fields, SLOW_FIELDS, usage};
use super::gpm::Gpm;
use super::identity::{changed, identity};
use super::links::Links;
use super::parts::Parts;
use super::post::Ticket;
use super::processes::{User, Users};
use super::raw::Handle;
use super::session::{Gpu, Session};
use crate::able::Able;
use model::error::Reason;
use model::source::SlotProcess;
use model::{Batch, Calls, CollectError, Collector, Metric, NoticeKind, Reading, Slot, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How long the answers of slow calls stand.
const SLOW: Duration = Duration::from_secs(10);
/// How long the answers of hourly calls stand.
const HOUR: Duration = Duration::from_secs(3600);
/// How long a lost board waits for the errors that tell why: an XID comes up to one wait of the watcher after the loss.
const FAREWELL: Duration = Duration::from_secs(2);

/// A GPU that the bus met.
pub(super) struct Board {
    /// Dropped first: the bus may then look for the board.
    ticket: Ticket,
    uuid: String,
    handle: Handle,
    calls: Calls,
    met: Option<Met>,
    lost: Option<Timestamp>,
    session: Arc<Session>,
}

/// What is known of a board once it has been asked who it is.
struct Met {
    slot: Slot,
    /// Where the driver listed it.
    index: u32,
    beat: Fields,
    slow: Fields,
    links: Links,
    parts: Parts,
    gpm: Option<Gpm>,
    users: Users,
    able: [Able; CALLS.len()],
    /// What the calls of this beat gave.
    fresh: Vec<(Slot, Metric, Reading)>,
    /// What the last slow calls gave.
    kept: Vec<(Slot, Metric, Reading)>,
    due: Timestamp,
    /// What the last hourly calls gave.
    standing: Vec<(Slot, Metric, Reading)>,
    standing_due: Timestamp,
    /// By how much the second round of slow calls comes early, so that boards take turns.
    turn: Duration,
}

impl Board {
    /// A board that the bus met; it is asked nothing yet.
    pub(super) fn new(
        session: &Arc<Session>,
        ticket: Ticket,
        uuid: &str,
        handle: Handle,
        calls: &Calls,
    ) -> Self {
        let (session, uuid, calls) = (Arc::clone(session), uuid.to_owned(), calls.clone());
        Self { ticket, uuid, handle, calls, met: None, lost: None, session }
    }

    /// Asks the board who it is, for the first time or again. What it can do is found out anew, as it may have changed.
    fn meet(&self, gpu: &Gpu<'_>, now: Timestamp, batch: &mut Batch) -> Result<Met, Fault> {
        let (index, before) = {
            let mail = self.ticket.post().open();
            (mail.index, mail.identity.clone())
        };
        let info = identity(&self.session, gpu, index, &self.uuid);
        let slot = batch.device(info.clone());
        if before.is_some_and(|before| changed(&before, &info)) {
            batch.notice(slot, NoticeKind::Changed, 0, now);
        }
        self.ticket.post().open().identity = Some(info.clone());
        let usage = usage(gpu);
        let (mut beat, mut slow) = (Fields::new(usage), Fields::new(usage));
        beat.add(slot, BEAT_FIELDS.iter().copied());
        slow.add(slot, SLOW_FIELDS.iter().copied());
        let links = Links::meet(gpu, &info, &mut slow, batch)?;
        Ok(Met {
            slot,
            beat,
            slow,
            links,
            parts: Parts::new(&self.session, &info),
            index,
            gpm: Gpm::meet(&self.session, gpu, None)?,
            users: Users::default(),
            able: [Able::Untried; CALLS.len()],
            fresh: Vec::new(),
            kept: Vec::new(),
            due: now,
            standing: Vec::new(),
            standing_due: now,
            turn: Duration::from_secs(u64::from(index) % SLOW.as_secs()),
        })
    }

    /// Tells what came by post: errors, another device with this identity, another place in the driver's list.
    fn tell_mail(&mut self, now: Timestamp, batch: &mut Batch) {
        let Some(met) = &mut self.met else { return };
        let mut mail = self.ticket.post().open();
        for code in mail.xids.drain(..) {
            batch.notice(met.slot, NoticeKind::Xid, code, now);
        }
        if std::mem::take(&mut mail.duplicate) {
            batch.notice(met.slot, NoticeKind::Duplicate, 0, now);
        }
        if self.lost.is_some() {
            return;
        }
        match mail.unwatched {
            Some(absence) => batch.absent(met.slot, Metric::XidErrors, absence),
            None => batch.set(met.slot, Metric::XidErrors, mail.total as f64),
        }
        if mail.total > 0 {
            batch.set(met.slot, Metric::XidLastCode, f64::from(mail.last));
        }
        // Its name goes by its position, and so do those of its parts: all are met again, under the same identities.
        if mail.index != met.index {
            drop(mail);
            self.met = None;
        }
    }

    /// Reads everything that is due into the batch.
    fn read(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), Fault> {
        let session = Arc::clone(&self.session);
        let calls = self.calls.clone();
        let gpu = session.gpu(self.handle, &calls);
        let met = match &mut self.met {
            Some(met) => met,
            None => {
                let met = self.meet(&gpu, now, batch)?;
                self.met.insert(met)
            }
        };
        let read = met.read(&gpu, now, batch);
        if gpu.orphaned() {
            session.confirm(&calls);
        }
        read
    }

    /// The board is lost: its devices are gone, and it stays only to tell why.
    fn lose(&mut self, now: Timestamp, batch: &mut Batch) {
        self.lost = Some(now);
        let Some(met) = &self.met else { return };
        let parts = met.links.slots().chain(met.parts.slots());
        parts.chain([met.slot]).for_each(|slot| batch.gone(slot, now));
    }

    fn failed(&self, reason: Reason) -> CollectError {
        CollectError::new(format!("read GPU {}", self.uuid), reason)
    }
}

impl Collector for Board {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.session.condemned() {
            return Err(self.failed(Reason::Lost));
        }
        if let Some(lost) = self.lost {
            self.tell_mail(now, batch);
            return if now.since(lost) < FAREWELL { Ok(()) } else { Err(self.failed(Reason::Lost)) };
        }
        match self.read(now, batch) {
            Ok(()) => self.tell_mail(now, batch),
            Err(fault) if self.met.is_none() => {
                return Err(self.failed(Reason::Lost).because(fault));
            }
            Err(_) => {
                self.lose(now, batch);
                self.tell_mail(now, batch);
            }
        }
        if self.session.condemned() { Err(self.failed(Reason::Lost)) } else { Ok(()) }
    }

    fn reopen(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let failed = |fault: Fault| {
            CollectError::new(format!("open GPU {} again", self.uuid), Reason::Lost).because(fault)
        };
        self.handle = self.session.find(&self.uuid, &self.calls).map_err(failed)?;
        let gpu = self.session.gpu(self.handle, &self.calls);
        let found = gpu.call("nvmlDeviceGetUUID", |device| device.uuid()).map_err(failed)?;
        if found != self.uuid {
            return Err(self.failed(Reason::Mismatch));
        }
        if self.met.is_some() {
            self.met = Some(self.meet(&gpu, now, batch).map_err(failed)?);
        }
        Ok(())
    }
}

impl Met {
    fn read(&mut self, gpu: &Gpu<'_>, now: Timestamp, batch: &mut Batch) -> Result<(), Fault> {
        let slow = now >= self.due;
        if slow {
            self.kept.clear();
            self.due = now.after(SLOW - std::mem::take(&mut self.turn));
            self.parts.look(gpu, now, batch)?;
        }
        let hour = now >= self.standing_due;
        if hour {
            self.standing.clear();
            self.standing_due = now.after(HOUR);
        }
        self.ask(gpu, |cadence| match cadence {
            Cadence::Beat => true,
            Cadence::Slow => slow,
            Cadence::Hour => hour,
        })?;
        let processes = self.users.read(gpu, now)?;
        if let Some(gpm) = &mut self.gpm
            && !gpm.read(gpu, now)?
        {
            self.gpm = None;
        }
        self.parts.read(gpu, now, slow, batch)?;
        self.tell(processes, batch);
        Ok(())
    }

    /// Asks the device for all but its processes.
    fn ask(&mut self, gpu: &Gpu<'_>, due: impl Fn(Cadence) -> bool) -> Result<(), Fault> {
        self.fresh.clear();
        let Self { fresh, kept, .. } = self;
        let mut doubts = self.beat.read(gpu, |slot, metric, reading| fresh.push((slot, metric, reading)))?;
        if due(Cadence::Slow) {
            doubts += self.slow.read(gpu, |slot, metric, reading| kept.push((slot, metric, reading)))?;
            self.links.read(gpu, |slot, metric, reading| kept.push((slot, metric, reading)))?;
            let mut sums = Vec::new();
            self.links.sum(kept, |metric, sum| sums.push((self.slot, metric, metric.reading(sum))));
            kept.append(&mut sums);
        }
        doubts += self.call(gpu, due)?;
        let silent = self.fresh.iter().all(|(_, _, reading)| reading.value().is_none());
        if silent && doubts > 0 { Err(Fault::GPU_IS_LOST) } else { Ok(()) }
    }

    /// Makes the calls that are due; gives how many answers cast doubt on the device.
    fn call(&mut self, gpu: &Gpu<'_>, due: impl Fn(Cadence) -> bool) -> Result<u32, Fault> {
        let (mut doubts, slot) = (0, self.slot);
        for (call, able) in CALLS.iter().zip(&mut self.able) {
            if !due(call.cadence) || *able == Able::Lacks {
                continue;
            }
            let kept = match call.cadence {
                Cadence::Beat => &mut self.fresh,
                Cadence::Slow => &mut self.kept,
                Cadence::Hour => &mut self.standing,
            };
            let first = kept.len();
            let answer =
                (call.read)(gpu, &mut |metric, value| kept.push((slot, metric, metric.reading(value))));
            able.learn(&answer, Fault::never);
            let Err(fault) = answer else { continue };
            if fault.lost() {
                return Err(fault);
            }
            doubts += u32::from(fault.doubtful());
            let put = kept.len();
            for metric in call.metrics {
                if !kept[first..put].iter().any(|(_, known, _)| known == metric) {
                    kept.push((slot, *metric, Reading::Absent(fault.absence())));
                }
            }
        }
        Ok(doubts)
    }

    /// Puts everything that was read into the batch.
    fn tell(&self, processes: Reading, batch: &mut Batch) {
        for (slot, metric, reading) in self.fresh.iter().chain(&self.kept).chain(&self.standing) {
            batch.put(*slot, *metric, *reading);
        }
        let profile = self.gpm.iter().flat_map(Gpm::readings);
        profile.for_each(|(metric, reading)| batch.put(self.slot, *metric, *reading));
        batch.flag(self.slot, Metric::Up, true);
        batch.put(self.slot, Metric::Processes, processes);
        if processes.value().is_some() {
            self.parts.count(self.users.users(), batch);
        }
        self.users.users().iter().for_each(|user| batch.process(self.process(user)));
    }

    fn process(&self, user: &User) -> SlotProcess {
        let slot = self.parts.of(user).unwrap_or(self.slot);
        SlotProcess {
            memory_bytes: user.memory_bytes,
            utilization: user.utilization,
            ..SlotProcess::new(slot, user.pid)
        }
    }
}
