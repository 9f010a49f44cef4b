//! The ledger: what limits were before us, and what we have set.
use model::stages::Cap;
use model::{DeviceId, Timestamp, Watts};
use std::collections::BTreeMap;

/// A write that was read back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written {
    /// The device's handle in this run of the agent.
    pub device: DeviceId,
    /// The limit that was read back.
    pub limit: Watts,
    /// When.
    pub since: Timestamp,
    /// When the cap loses its force unless renewed; `None`: it holds until released.
    pub expires: Option<Timestamp>,
}

/// One device in the ledger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The limit before our first write. Never changes while the entry lasts.
    pub original: Watts,
    /// Our last write; `None`: there was none in this run of the agent, or its end is not known.
    pub written: Option<Written>,
}

/// Every device we have written to, by its stable key.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Notes an original; one that is known already stays as it is, since it may be the true one.
    pub fn open(&mut self, key: &str, original: Watts) {
        self.entries.entry(key.to_owned()).or_insert(Entry { original, written: None });
    }

    /// Notes what was read back after a write; ignored without an original.
    pub fn set(&mut self, key: &str, written: Written) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.written = Some(written);
        }
    }

    /// Forgets the last write, because how it ended is not known. The original stays.
    pub fn doubt(&mut self, key: &str) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.written = None;
        }
    }

    /// Takes over the handle that a new run of the agent has for a device.
    pub fn meet(&mut self, key: &str, device: DeviceId) {
        if let Some(written) = self.entries.get_mut(key).and_then(|entry| entry.written.as_mut()) {
            written.device = device;
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
            let Written { device, limit, since, .. } = entry.written?;
            Some(Cap { device, limit, original: entry.original, since })
        };
        caps.extend(self.entries.values().filter_map(cap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, DeviceTable};
    use std::sync::Arc;

    #[test]
    fn an_original_never_changes_and_a_write_without_one_is_not_taken() {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        let written = Written { device, limit: Watts(300.0), since: Timestamp::default(), expires: None };
        let mut ledger = Ledger::default();
        ledger.set("GPU-a", written);
        assert!(ledger.is_empty());
        ledger.open("GPU-a", Watts(700.0));
        let mut caps = Vec::new();
        ledger.caps(&mut caps);
        assert_eq!(caps, [], "an original alone is no cap");
        ledger.set("GPU-a", written);
        ledger.open("GPU-a", Watts(300.0));
        ledger.caps(&mut caps);
        assert_eq!((caps[0].limit, caps[0].original), (Watts(300.0), Watts(700.0)));
        ledger.doubt("GPU-a");
        assert_eq!(ledger.get("GPU-a"), Some(&Entry { original: Watts(700.0), written: None }));
    }
}
