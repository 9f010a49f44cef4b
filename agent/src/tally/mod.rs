//! The tally: energy by workload and accelerator, which survives restarts of the agent.
//!
//! Counts are totals since a workload was first seen. They are on disk every [`FLUSH_S`] seconds and at the end, so a
//! killed agent forgets what it counted since, and never counts anything twice. A workload stays listed for
//! [`KEPT_MS`] after it was last there; then, or when there are more than [`ENTRIES_MAX`], its energy goes into a remainder
//! of its accelerator, so that the sums of an accelerator never fall. Beside them the same energy is counted by UTC day
//! ([`days`]); days that are over have a file of their own, which is written when one ends.
pub mod days;
mod file;

use crate::tally::days::{Day, Days};
use crate::tally::file::{Home, Saved, SavedDevice, SavedEntry};
use model::{Timestamp, Workload};
use policy::attribution::Idle;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// From one writing to the next, in seconds: the most that a killed agent forgets.
pub const FLUSH_S: f64 = 10.0;
/// How long a workload stays listed after it was last there, in milliseconds: long enough for several scrapes of a pod's
/// last value, and for its restart.
pub const KEPT_MS: i64 = 3_600_000;
/// Workloads kept at once, over all accelerators.
pub const ENTRIES_MAX: usize = 1024;
/// Accelerators kept at once; past that, those longest unseen are forgotten.
pub const ACCOUNTS_MAX: usize = 256;
/// How long the last writing may hold up a stop.
const STOP_PATIENCE: Duration = Duration::from_millis(300);

/// What one workload used on one accelerator.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who.
    pub workload: Arc<Workload>,
    /// Energy since it was first seen, in joules.
    pub energy_j: f64,
    /// Wall-clock time at which it was last there, in milliseconds.
    pub last_ms: i64,
}

/// What is counted of one accelerator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Account {
    /// Its idle power.
    pub idle: Idle,
    /// Energy that nobody could be held to, in joules.
    pub open_j: f64,
    /// Energy of workloads that are no longer listed, in joules.
    pub departed_j: f64,
    last_ms: i64,
    /// By kind and key.
    entries: Vec<Entry>,
}

impl Account {
    fn place(&self, workload: &Workload) -> Result<usize, usize> {
        let wanted = (workload.kind, workload.key.as_str());
        self.entries.binary_search_by(|e| (e.workload.kind, e.workload.key.as_str()).cmp(&wanted))
    }

    /// Adds energy to a workload that is there now, and gives its total.
    pub fn add(&mut self, workload: &Arc<Workload>, energy_j: f64, now_ms: i64) -> f64 {
        match self.place(workload) {
            Ok(place) => {
                let entry = &mut self.entries[place];
                if !Arc::ptr_eq(&entry.workload, workload) {
                    entry.workload = Arc::clone(workload);
                }
                entry.energy_j += energy_j;
                entry.last_ms = now_ms;
                entry.energy_j
            }
            Err(place) => {
                let entry = Entry { workload: Arc::clone(workload), energy_j, last_ms: now_ms };
                self.entries.insert(place, entry);
                energy_j
            }
        }
    }

    /// Every workload that is listed.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Everything that was ever counted, in joules.
    pub fn total_j(&self) -> f64 {
        self.open_j + self.departed_j + self.entries.iter().map(|entry| entry.energy_j).sum::<f64>()
    }

    fn drop_unseen(&mut self, gone: impl Fn(&Entry) -> bool) {
        let departed = &mut self.departed_j;
        self.entries.retain(|entry| {
            let stays = !gone(entry);
            *departed += if stays { 0.0 } else { entry.energy_j };
            stays
        });
    }

    fn rename(&mut self, old: &Workload, new: &Arc<Workload>) {
        if let Ok(place) = self.place(old) {
            let entry = self.entries.remove(place);
            let last_ms = self.place(new).map_or(entry.last_ms, |place| self.entries[place].last_ms);
            self.add(new, entry.energy_j, last_ms.max(entry.last_ms));
        }
    }
}

/// Every account of the node.
#[derive(Debug, Default)]
pub struct Tally {
    /// By the accelerators' keys.
    accounts: Vec<(String, Account)>,
    days: Days,
    writer: Option<Writer>,
    flushed: Option<Timestamp>,
}

impl Tally {
    /// Takes over what a state directory holds and from now on keeps the counts there.
    pub fn keep_in(&mut self, directory: &Path, now: Timestamp) {
        let (home, (saved, past)) = match Home::open(directory, now) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(reason = error.reason().as_str(), "energy is counted from 0: {error}");
                return;
            }
        };
        self.days = Days::resume(past, saved.today.clone());
        self.accounts = accounts(saved);
        self.flushed = Some(now);
        match Writer::spawn(home) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => tracing::warn!("energy will not survive a restart: no thread to write it: {error}"),
        }
    }

    /// The account of an accelerator.
    pub fn account(&mut self, device: &str, now_ms: i64) -> &mut Account {
        let place =
            |accounts: &[(String, Account)]| accounts.binary_search_by(|(key, _)| key.as_str().cmp(device));
        if place(&self.accounts).is_err() && self.accounts.len() >= ACCOUNTS_MAX {
            let oldest = self.accounts.iter().enumerate().min_by_key(|(_, (_, account))| account.last_ms);
            if let Some((oldest, _)) = oldest {
                self.accounts.remove(oldest);
            }
        }
        let place = place(&self.accounts).unwrap_or_else(|place| {
            self.accounts.insert(place, (device.to_owned(), Account::default()));
            place
        });
        let account = &mut self.accounts[place].1;
        account.last_ms = now_ms;
        account
    }

    /// The day at this moment, in which everything is counted until the next call.
    pub fn day(&mut self, wall_ms: i64) -> &mut Day {
        self.days.turn(wall_ms);
        self.days.today()
    }

    /// Every day that is kept, in order, today among them.
    pub fn days(&self) -> Vec<Arc<Day>> {
        self.days.all()
    }

    /// Carries a workload's counts over to its better name.
    pub fn rename(&mut self, old: &Workload, new: &Arc<Workload>) {
        for (_, account) in &mut self.accounts {
            account.rename(old, new);
        }
        self.days.rename(old, new);
    }

    /// Lets go of what is past its time or its limit, and hands the counts to the writer when that is due.
    pub fn turn(&mut self, now: Timestamp) {
        let gone = |entry: &Entry| now.wall_ms - entry.last_ms > KEPT_MS;
        let mut count = 0;
        for (_, account) in &mut self.accounts {
            account.drop_unseen(gone);
            count += account.entries.len();
        }
        if count > ENTRIES_MAX {
            self.shrink(count - ENTRIES_MAX);
        }
        let due = self.flushed.is_none_or(|last| now.seconds_since(last) >= FLUSH_S);
        if due && self.writer.is_some() && !self.accounts.is_empty() {
            self.flushed = Some(now);
            let saved = self.saved();
            if let Some(writer) = &self.writer {
                writer.hand(saved);
            }
        }
    }

    /// Lets go of the entries that were there longest ago, at least `excess` of them.
    fn shrink(&mut self, excess: usize) {
        let mut times: Vec<i64> =
            self.accounts.iter().flat_map(|(_, a)| a.entries.iter().map(|entry| entry.last_ms)).collect();
        times.sort_unstable();
        let latest = times[excess - 1];
        let mut left = excess;
        for (_, account) in &mut self.accounts {
            let before = account.entries.len();
            let allowed = std::cell::Cell::new(left);
            account.drop_unseen(|entry| {
                let goes = entry.last_ms <= latest && allowed.get() > 0;
                allowed.set(allowed.get() - usize::from(goes));
                goes
            });
            left -= before - account.entries.len();
        }
    }

    fn saved(&self) -> Saved {
        let entry = |entry: &Entry| SavedEntry {
            workload: Arc::clone(&entry.workload),
            energy_j: entry.energy_j,
            last_ms: entry.last_ms,
        };
        let device = |(key, account): &(String, Account)| SavedDevice {
            device: key.clone(),
            idle_w: account.idle.lowest_w,
            open_j: account.open_j,
            departed_j: account.departed_j,
            last_ms: account.last_ms,
            workloads: account.entries.iter().map(entry).collect(),
        };
        let (past, revision) = self.days.past();
        let devices = self.accounts.iter().map(device).collect();
        Saved { past: past.to_vec(), revision, ..Saved::new(devices, self.days.current().clone()) }
    }
}

fn accounts(saved: Saved) -> Vec<(String, Account)> {
    let account = |device: SavedDevice| {
        let mut account = Account {
            idle: Idle { lowest_w: device.idle_w },
            open_j: device.open_j,
            departed_j: device.departed_j,
            last_ms: device.last_ms,
            entries: Vec::new(),
        };
        for entry in device.workloads {
            account.add(&entry.workload, entry.energy_j, entry.last_ms);
        }
        (device.device, account)
    };
    let mut accounts: Vec<_> = saved.devices.into_iter().take(ACCOUNTS_MAX).map(account).collect();
    accounts.sort_by(|(a, _), (b, _)| a.cmp(b));
    accounts.dedup_by(|(a, _), (b, _)| a == b);
    accounts
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take().filter(|_| !self.accounts.is_empty()) {
            writer.finish(self.saved());
        }
    }
}

/// The thread that writes. The beat never waits for the disk.
#[derive(Debug)]
struct Writer {
    queue: SyncSender<Saved>,
    ended: Receiver<()>,
}

impl Writer {
    fn spawn(home: Home) -> std::io::Result<Self> {
        let (queue, orders) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new().name("wk-tally".into()).spawn(move || {
            write(home, &orders);
            let _ = end.send(());
        })?;
        Ok(Self { queue, ended })
    }

    /// Hands counts over; while the disk is slow, older ones stay in the queue and these are left out.
    fn hand(&self, saved: Saved) {
        if let Err(TrySendError::Disconnected(_)) = self.queue.try_send(saved) {
            tracing::debug!("the thread that writes energy has ended");
        }
    }

    /// Hands over the last counts and waits a moment until they are on disk.
    fn finish(self, saved: Saved) {
        self.hand(saved);
        drop(self.queue);
        if self.ended.recv_timeout(STOP_PATIENCE).is_err() {
            tracing::warn!("the disk is too slow to take the last seconds of energy counts");
        }
    }
}

fn write(mut home: Home, orders: &Receiver<Saved>) {
    let mut failing = false;
    while let Ok(saved) = orders.recv() {
        match home.save(&saved) {
            Err(error) if !failing => {
                tracing::warn!(
                    reason = error.reason().as_str(),
                    "energy counts are kept in memory only: {error}"
                );
                failing = true;
            }
            Ok(()) if failing => {
                tracing::info!("energy counts are on disk again");
                failing = false;
            }
            Err(_) | Ok(()) => {}
        }
    }
}

/// The days that a state directory holds, today among them, without taking it over; `None` where it holds none.
///
/// # Errors
/// When it cannot be read or makes no sense, in words.
pub fn read_days(directory: &Path) -> Result<Option<Vec<Arc<Day>>>, String> {
    let Some((saved, past)) = file::look(directory)? else { return Ok(None) };
    Ok(Some(Days::resume(past, saved.today).all()))
}

#[cfg(test)]
mod tests;
