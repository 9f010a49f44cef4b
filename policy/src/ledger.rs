//! The ledger: what limits were before us, and what we have set.
use model::stages::Cap;
use model::{DeviceId, Timestamp, Watts};
use std::collections::BTreeMap;

/// One device in the ledger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Its handle in this run of the agent, once it was seen.
    pub device: Option<DeviceId>,
    /// The limit before our first write. Never changes while the entry lasts.
    pub original: Watts,
    /// The limit that was read back after our last write.
    pub limit: Watts,
    /// When that was.
    pub since: Timestamp,
}

/// Every device we have written to, by its stable key.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Notes an original; one that is known already stays as it is, since it may be the true one.
    pub fn open(&mut self, key: &str, entry: Entry) {
        self.entries.entry(key.to_owned()).or_insert(entry);
    }

    /// Notes what was read back after a write.
    pub fn set(&mut self, key: &str, device: DeviceId, limit: Watts, since: Timestamp) {
        if let Some(entry) = self.entries.get_mut(key) {
            *entry = Entry { device: Some(device), limit, since, original: entry.original };
        }
    }

    /// Closes the entry of a device whose original limit was given back.
    pub fn close(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// The entry of a device.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every entry by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Whether nothing of ours is in force.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Our caps in force, into a list that is reused.
    pub fn caps(&self, caps: &mut Vec<Cap>) {
        caps.clear();
        let cap = |entry: &Entry| {
            let Entry { original, limit, since, .. } = *entry;
            entry.device.map(|device| Cap { device, limit, original, since })
        };
        caps.extend(self.entries.values().filter_map(cap));
    }
}
