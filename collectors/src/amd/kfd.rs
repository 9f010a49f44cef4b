//! Who uses a card, from KFD: a folder a process, a file a card, named by the number that KFD's topology gives the card.
use crate::Roots;
use crate::sysfs::{Attr, absence, names, number};
use model::source::SlotProcess;
use model::{Absence, Batch, Calls, Metric, Slot};
use std::path::{Path, PathBuf};

/// Processes that are looked at, at most.
const PROCESSES_MAX: usize = 1024;

/// A node of the topology that belongs to the card: the card, or one partition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    id: u64,
    /// Its compute units.
    units: u64,
}

/// KFD's view of one card.
#[derive(Debug, Default)]
pub(super) struct Kfd {
    processes: PathBuf,
    nodes: Vec<Node>,
}

/// Domain and the number of bus, device and function of a PCI address, as `location_id` has it.
fn place(pci: &str) -> Option<(u64, u64)> {
    let (domain, rest) = pci.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((hex(domain)?, hex(bus)? << 8 | hex(device)? << 3 | hex(function)?))
}

/// A named number in the lines of a `properties` file.
fn property(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

impl Kfd {
    /// Looks which nodes of the topology are the card at a PCI address.
    pub(super) fn found(roots: &Roots, pci: &str, calls: &Calls) -> Self {
        let kfd = roots.sys.join("class/kfd/kfd");
        let topology = kfd.join("topology/nodes");
        let node = |name: String| node(&topology.join(name), pci, calls);
        let nodes = names(&topology, |_| true).into_iter().filter_map(node).collect();
        Self { processes: kfd.join("proc"), nodes }
    }

    /// Puts the processes on the card into the batch. Nothing is said where KFD does not know the card.
    pub(super) fn read(&self, calls: &Calls, slot: Slot, batch: &mut Batch) {
        if self.nodes.is_empty() {
            return;
        }
        let listed = calls.during("kfd proc", || std::fs::read_dir(&self.processes));
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => return batch.absent(slot, Metric::Processes, absence(&error)),
        };
        let pid =
            |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u32>().ok();
        let (mut users, mut denied) = (0, false);
        for pid in entries.filter_map(pid).take(PROCESSES_MAX) {
            match self.process(pid, slot, calls) {
                Ok(Some(user)) => {
                    users += 1;
                    batch.process(user);
                }
                Ok(None) => {}
                Err(reason) => denied |= reason == Absence::Denied,
            }
        }
        if denied {
            batch.absent(slot, Metric::Processes, Absence::Denied);
        } else {
            batch.set(slot, Metric::Processes, f64::from(users));
        }
    }

    /// What a process has of the card. KFD lists a process on every card that it may use; without memory or work there it
    /// is not on it.
    fn process(&self, pid: u32, slot: Slot, calls: &Calls) -> Result<Option<SlotProcess>, Absence> {
        let folder = self.processes.join(pid.to_string());
        // A process with several contexts has a folder for each.
        let contexts =
            names(&folder, |name| name.starts_with("context_")).into_iter().map(|name| folder.join(name));
        let (mut memory, mut busy) = (None, None);
        let units: u64 = self.nodes.iter().map(|node| node.units).sum();
        for folder in std::iter::once(folder.clone()).chain(contexts) {
            for Node { id, .. } in &self.nodes {
                memory = sum(memory, count("kfd vram", folder.join(format!("vram_{id}")), calls)?);
                busy = sum(
                    busy,
                    count("kfd cu_occupancy", folder.join(format!("stats_{id}/cu_occupancy")), calls)?,
                );
            }
        }
        if memory.unwrap_or(0.0) <= 0.0 && busy.unwrap_or(0.0) <= 0.0 {
            return Ok(None);
        }
        let utilization = busy.filter(|_| units > 0).map(|busy| (busy / units as f64).clamp(0.0, 1.0));
        // Bytes of a card's memory are far below what a double holds exactly.
        let memory_bytes = memory.filter(|bytes| *bytes < 1e15).map(|bytes| bytes as u64);
        Ok(Some(SlotProcess { memory_bytes, utilization, ..SlotProcess::new(slot, pid) }))
    }
}

fn sum(before: Option<f64>, more: Option<f64>) -> Option<f64> {
    more.map(|more| before.unwrap_or(0.0) + more).or(before)
}

/// The count in a file; `None` where there is none, as when the process has ended meanwhile.
fn count(call: &'static str, path: PathBuf, calls: &Calls) -> Result<Option<f64>, Absence> {
    match Attr::new(call, path).text(calls) {
        Ok(text) => Ok(number(text).filter(|count| *count >= 0.0)),
        Err(error) if absence(&error) == Absence::Denied => Err(Absence::Denied),
        Err(_) => Ok(None),
    }
}

fn node(folder: &Path, pci: &str, calls: &Calls) -> Option<Node> {
    let mut properties = Attr::new("kfd properties", folder.join("properties"));
    let text = properties.text(calls).ok()?;
    // The upper bits of the location tell partitions of one card apart.
    let location = (property(text, "domain")?, property(text, "location_id")? & 0xffff);
    if place(pci)? != location {
        return None;
    }
    let simds = property(text, "simd_count")?;
    let units = simds.checked_div(property(text, "simd_per_cu")?)?;
    let id = Attr::new("kfd gpu_id", folder.join("gpu_id"))
        .text(calls)
        .ok()?
        .parse()
        .ok()
        .filter(|id| *id != 0)?;
    Some(Node { id, units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_the_number_that_the_topology_uses() {
        assert_eq!(place("0000:c1:00.0"), Some((0, 0xc100)));
        assert_eq!(place("0001:03:1f.7"), Some((1, 0x03ff)));
        assert_eq!(place("amdgpu_xcp_1"), None);
    }

    #[test]
    fn a_property_is_a_whole_word() {
        let text = "simd_count 1216\nsimd_per_cu 4\nlocation_id 49408\n";
        assert_eq!(property(text, "simd_per_cu"), Some(4));
        assert_eq!(property(text, "simd"), None);
    }
}
