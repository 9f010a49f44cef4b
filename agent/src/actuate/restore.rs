//! Restoring: originals go back when nothing is to be enforced, when a cap expires, and at the end; each by itself.
use super::Keeper;
use super::audit;
use model::{
    Action, DeviceId, DeviceInfo, DeviceKind, DeviceTable, Knob, Order, Range, Reason, Timestamp, Verdict,
    Watts, Why,
};
use policy::ledger::{Entry, Written};
use std::sync::Arc;
use std::time::Duration;

/// How long a device that could not be restored is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// A handle for a device of which nothing but its key is known; actuators go by the key.
fn stranger() -> Option<DeviceId> {
    DeviceTable::default().register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "unknown"))).ok()
}

impl Keeper {
    /// Takes the journal's originals into the ledger.
    pub(super) fn take_over(&mut self) {
        if let Ok(journal) = self.state.journal() {
            for (key, original) in journal.originals() {
                self.ledger.open(key, *original);
            }
        }
    }

    /// Gives every original back, each by itself. Says whether all went well; what did not stays in the journal.
    pub fn stop(&mut self, now: Timestamp) -> bool {
        let keys: Vec<String> = self.ledger.iter().map(|(key, _)| key.to_owned()).collect();
        let mut all = true;
        for key in keys {
            all &= self.give_back(&key, now).is_ok();
        }
        all
    }

    /// Brings the ledger in line with what is to be done.
    ///
    /// Under enforcement a limit that a predecessor left, or whose write ended in doubt, becomes a cap as it is, and a
    /// cap that has expired goes. Without enforcement every cap goes.
    pub(super) fn mend(&mut self, now: Timestamp) {
        if !self.briefed || self.ledger.is_empty() {
            return;
        }
        let busy = self.busy();
        let expired = |written: Written| written.expires.is_some_and(|expiry| expiry <= now);
        // Nobody is there to renew a cap, and its end would be a loosening that nobody decided.
        let orphaned = self.orphan.is_some();
        let ends = |entry: &Entry| !busy || !orphaned && entry.written.is_some_and(expired);
        let there = |key: &str| self.brief.devices.iter().any(|known| *known.key == *key);
        let ready = |key: &str| there(key) && self.retries.get(key).is_none_or(|retry| *retry <= now);
        let work: Vec<(String, bool)> = self
            .ledger
            .iter()
            .filter(|(key, entry)| ready(key) && (ends(entry) || entry.written.is_none()))
            .map(|(key, entry)| (key.to_owned(), ends(entry)))
            .collect();
        for (key, ends) in work {
            let done = if ends { self.give_back(&key, now).is_ok() } else { self.adopt(&key, now) };
            if done {
                self.retries.remove(&key);
            } else {
                self.retries.insert(key, now.after(RETRY));
            }
        }
    }

    /// Makes a cap of ours of the limit that is in force; says whether it could be read.
    fn adopt(&mut self, key: &str, now: Timestamp) -> bool {
        let Some(device) =
            self.brief.devices.iter().find(|known| *known.key == *key).map(|known| known.device)
        else {
            return false;
        };
        let limit = self.enforced(key);
        if let Some(limit) = limit {
            self.reasons.remove(key);
            self.ledger.set(key, Written { device, limit, since: now, expires: None });
        }
        limit.is_some()
    }

    /// Restores one original and gives what is read back.
    pub(super) fn give_back(&mut self, key: &str, now: Timestamp) -> Result<Watts, Reason> {
        let original = self.ledger.get(key).map(|entry| entry.original).ok_or(Reason::Missing)?;
        let known = self.brief.devices.iter().find(|known| *known.key == *key);
        // Nobody has said what the device takes: it took its original, so exactly that is asked of it.
        let range = known.and_then(|known| known.range).or(Range::new(original, original, original));
        let device = known.map(|known| known.device).or_else(stranger).ok_or(Reason::Full)?;
        let range = range.ok_or(Reason::Malformed)?;
        let before = self.enforced(key);
        let order = Order::power_limit(device, Arc::from(key), original, range);
        let written = self.write(&order);
        self.log_return(key, before, original, written, now);
        match written {
            // A lower limit than the original is somebody else's, out of band; it is not ours to lift.
            Ok(read_back) => {
                tracing::info!(device = key, limit_w = read_back.0, "original limit restored");
                self.forget(key);
                Ok(read_back)
            }
            Err(reason) => {
                tracing::error!(
                    device = key,
                    reason = reason.as_str(),
                    at_ms = now.wall_ms,
                    "original limit not restored"
                );
                Err(reason)
            }
        }
    }

    fn log_return(
        &mut self,
        key: &str,
        before: Option<Watts>,
        original: Watts,
        written: Result<Watts, Reason>,
        now: Timestamp,
    ) {
        self.audit.write(&audit::Entry {
            at_ms: now.wall_ms,
            device: key.to_owned(),
            knob: Knob::PowerLimit,
            decision: 0,
            action: Action::Release.as_str().to_owned(),
            why: Why::Stop.as_str().to_owned(),
            evidence: self.brief.evidence,
            before: before.map(|value| value.0),
            ordered: Some(original.0),
            read_back: written.ok().map(|value| value.0),
            verdict: if written.is_ok() { Verdict::Applied } else { Verdict::Failed },
            reason: written.err(),
        });
    }

    /// Closes ledger and journal for a device whose original limit is back.
    pub(super) fn forget(&mut self, key: &str) {
        self.ledger.close(key);
        self.reasons.remove(key);
        if let Ok(journal) = self.state.journal_mut()
            && let Err(error) = journal.forget(key)
        {
            tracing::warn!("the journal keeps an original that was given back: {error}");
        }
    }
}
