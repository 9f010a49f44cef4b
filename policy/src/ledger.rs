//! The ledger: what knobs were before us, and what we have set.
use model::stages::{Cap, Caps};
use model::{Cores, DeviceId, Hertz, Keep, Knob, Timestamp, Watts};
use std::collections::BTreeMap;

/// A write that was read back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written {
    /// The device's handle in this run of the agent.
    pub device: DeviceId,
    /// The position that was read back, in the knob's unit.
    pub limit: f64,
    /// When.
    pub since: Timestamp,
    /// When the cap loses its force unless renewed; `None`: it holds until released.
    pub expires: Option<Timestamp>,
    /// What becomes of it when its keeper goes.
    pub keep: Keep,
}

/// One knob in the ledger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The position before our first write, in the knob's unit. Never changes while the entry lasts.
    pub original: f64,
    /// Our last write; `None`: there was none in this run of the agent, or its end is not known.
    pub written: Option<Written>,
}

/// The knobs of one device that we have turned.
type Knobs = BTreeMap<Knob, Entry>;

/// Every device we have written to, by its stable key.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: BTreeMap<String, Knobs>,
}

impl Ledger {
    /// Notes an original; one that is known already stays as it is, since it may be the true one.
    pub fn open(&mut self, key: &str, knob: Knob, original: f64) {
        let knobs = self.entries.entry(key.to_owned()).or_default();
        knobs.entry(knob).or_insert(Entry { original, written: None });
    }

    /// Notes what was read back after a write; ignored without an original.
    pub fn set(&mut self, key: &str, knob: Knob, written: Written) {
        if let Some(entry) = self.entry(key, knob) {
            entry.written = Some(written);
        }
    }

    /// Forgets the last write, because how it ended is not known. The original stays.
    pub fn doubt(&mut self, key: &str, knob: Knob) {
        if let Some(entry) = self.entry(key, knob) {
            entry.written = None;
        }
    }

    fn entry(&mut self, key: &str, knob: Knob) -> Option<&mut Entry> {
        self.entries.get_mut(key)?.get_mut(&knob)
    }

    /// Takes over the handle that a new run of the agent has for a device.
    pub fn meet(&mut self, key: &str, device: DeviceId) {
        let knobs = self.entries.get_mut(key).into_iter().flat_map(|knobs| knobs.values_mut());
        knobs.filter_map(|entry| entry.written.as_mut()).for_each(|written| written.device = device);
    }

    /// Closes the entry of a knob whose original position was given back.
    pub fn close(&mut self, key: &str, knob: Knob) {
        let Some(knobs) = self.entries.get_mut(key) else { return };
        knobs.remove(&knob);
        if knobs.is_empty() {
            self.entries.remove(key);
        }
    }

    /// The entry of a knob.
    pub fn get(&self, key: &str, knob: Knob) -> Option<&Entry> {
        self.entries.get(key)?.get(&knob)
    }

    /// Every entry by key and knob.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Knob, &Entry)> {
        self.entries
            .iter()
            .flat_map(|(key, knobs)| knobs.iter().map(|(knob, entry)| (key.as_str(), *knob, entry)))
    }

    /// Whether nothing of ours is in force.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Our caps in force, into a list that is reused.
    pub fn caps(&self, caps: &mut Caps) {
        caps.clear();
        for (_, knob, Entry { original, written }) in self.iter() {
            let Some(written) = *written else { continue };
            match knob {
                Knob::PowerLimit => caps.power.push(cap(written, *original, Watts)),
                Knob::ClockMax => caps.clocks.push(cap(written, *original, Hertz)),
                Knob::CpuQuota => caps.quotas.push(cap(written, *original, Cores)),
            }
        }
    }
}

fn cap<U>(written: Written, original: f64, unit: fn(f64) -> U) -> Cap<U> {
    let Written { device, limit, since, keep, .. } = written;
    Cap { device, limit: unit(limit), original: unit(original), since, keep }
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
        let since = Timestamp::default();
        let written = Written { device, limit: 300.0, since, expires: None, keep: Keep::Safety };
        let power = Knob::PowerLimit;
        let mut ledger = Ledger::default();
        ledger.set("GPU-a", power, written);
        assert!(ledger.is_empty());
        ledger.open("GPU-a", power, 700.0);
        let mut caps = Caps::default();
        ledger.caps(&mut caps);
        assert_eq!(caps, Caps::default(), "an original alone is no cap");
        ledger.set("GPU-a", power, written);
        ledger.open("GPU-a", power, 300.0);
        ledger.open("GPU-a", Knob::ClockMax, 1980e6);
        ledger.caps(&mut caps);
        assert_eq!((caps.power[0].limit, caps.power[0].original), (Watts(300.0), Watts(700.0)));
        assert_eq!(caps.clocks, [], "each knob has its own entry");
        ledger.doubt("GPU-a", power);
        assert_eq!(ledger.get("GPU-a", power), Some(&Entry { original: 700.0, written: None }));
        ledger.close("GPU-a", power);
        assert!(!ledger.is_empty() && ledger.get("GPU-a", power).is_none());
        ledger.close("GPU-a", Knob::ClockMax);
        assert!(ledger.is_empty());
    }
}
