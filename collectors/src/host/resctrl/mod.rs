//! resctrl: what moves between the last-level caches and memory, and what is in the caches, by cache domain; of a monitoring
//! group for whoever it stands for (`groups`). Documentation/filesystems/resctrl.
//!
//! It is read only: groups that exist are read, none is made, for that takes the hardware's few identifiers from whoever
//! else manages them.
pub(in crate::host) mod groups;
mod monitor;

use super::core;
use super::file::{names, numbered, word};
use crate::{Options, Roots};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, Metric, Slot, Timestamp};
use monitor::{Monitor, Quantity};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Cache domains at most: as many as the largest servers have, twice.
const DOMAINS_MAX: usize = 128;
/// From one look for new and vanished groups to the next, in seconds.
const SCAN_S: f64 = 10.0;

/// Where resctrl is.
fn root(roots: &Roots) -> PathBuf {
    roots.sys.join("fs/resctrl")
}

/// Opens the source; a host on which resctrl is not mounted, or monitors nothing, has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let root = root(&options.roots);
    let firsts = firsts(&options.roots.sys);
    let there = !firsts.is_empty() && !names(&root.join("mon_data"), monitor::is_domain).is_empty();
    let source = || Resctrl { root, firsts, scanned: None, domains: Vec::new() };
    Ok(there.then(|| Box::new(source()) as Box<dyn Collector>))
}

/// The first processor of each cache domain, by the cache's number.
fn firsts(sys: &Path) -> BTreeMap<usize, usize> {
    let folder = sys.join("devices/system/cpu");
    let mut firsts = BTreeMap::new();
    for name in names(&folder, |name| numbered(name, "cpu").is_some()) {
        let Some(cpu) = numbered(&name, "cpu") else { continue };
        let Ok(cache) = word(&folder.join(&name).join("cache/index3/id")).parse() else { continue };
        let first = firsts.entry(cache).or_insert(cpu);
        *first = cpu.min(*first);
    }
    firsts
}

/// One domain: what each of the node's groups of control has there, which together is all.
struct Domain {
    number: usize,
    slot: Slot,
    /// By the folder of the group of control.
    monitors: BTreeMap<PathBuf, Monitor>,
    /// What groups that are gone have moved.
    past: [f64; Quantity::ALL.len()],
}

struct Resctrl {
    root: PathBuf,
    firsts: BTreeMap<usize, usize>,
    scanned: Option<Timestamp>,
    domains: Vec<Domain>,
}

impl Resctrl {
    /// Meets new groups and domains and lets go of those that are gone.
    fn scan(&mut self, batch: &mut Batch) {
        let folders = groups::controlling(&self.root);
        for name in names(&self.root.join("mon_data"), monitor::is_domain) {
            let Some((number, first)) = monitor::domain(&name).and_then(|n| Some((n, *self.firsts.get(&n)?)))
            else {
                continue;
            };
            let known = self.domains.iter().any(|domain| domain.number == number);
            if !known && self.domains.len() < DOMAINS_MAX {
                let (slot, past) = (batch.device(core(first)), [0.0; Quantity::ALL.len()]);
                self.domains.push(Domain { number, slot, monitors: BTreeMap::new(), past });
            }
            let Some(domain) = self.domains.iter_mut().find(|domain| domain.number == number) else {
                continue;
            };
            domain.meet(&folders, &name);
        }
    }
}

impl Domain {
    fn meet(&mut self, folders: &[PathBuf], name: &str) {
        let gone: Vec<PathBuf> =
            self.monitors.keys().filter(|folder| !folders.contains(folder)).cloned().collect();
        for folder in gone {
            let Some(monitor) = self.monitors.remove(&folder) else { continue };
            self.past.iter_mut().zip(monitor.moved()).for_each(|(past, moved)| *past += moved);
        }
        for folder in
            folders.iter().filter(|folder| !self.monitors.contains_key(*folder)).cloned().collect::<Vec<_>>()
        {
            let monitor = Monitor::of(&folder.join("mon_data"), |domain| domain == name);
            self.monitors.insert(folder, monitor);
        }
    }

    /// What all groups of control have here: a sum, or the reason why one of them is absent.
    fn read(&mut self, batch: &mut Batch) {
        let mut sums: [Result<f64, Absence>; Quantity::ALL.len()] = self.past.map(Ok);
        for monitor in self.monitors.values_mut() {
            for (sum, read) in sums.iter_mut().zip(monitor.read()) {
                *sum = sum.and_then(|sum| Ok(sum + read?));
            }
        }
        let metrics = [Metric::DomainTraffic, Metric::DomainTrafficLocal, Metric::DomainCache];
        for (metric, sum) in metrics.into_iter().zip(sums) {
            match sum {
                Ok(value) => batch.set(self.slot, metric, value),
                Err(why) => batch.absent(self.slot, metric, why),
            }
        }
    }
}

impl Collector for Resctrl {
    fn name(&self) -> &'static str {
        "resctrl"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.scanned.is_none_or(|last| now.seconds_since(last) >= SCAN_S) {
            self.scanned = Some(now);
            self.scan(batch);
        }
        self.domains.iter_mut().for_each(|domain| domain.read(batch));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
