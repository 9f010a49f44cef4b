//! Space on file systems, by the disk they lie on. Asking a file system can hang, so this runs on a worker.
use super::file::names;
use crate::{Options, Roots};
use model::error::{OpenError, Reason};
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Timestamp};
use std::path::PathBuf;
use sysinfo::{DiskRefreshKind, Disks};

/// How long an answer stands, in seconds: space changes slowly and asking costs.
const REFRESH_S: f64 = 30.0;

/// Opens the source. Mounts are those of the machine, so a fixture tree has none.
///
/// # Errors
/// When the system does not list its file systems.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    if options.roots != Roots::default() {
        return Ok(None);
    }
    let disks =
        Disks::new().map_err(|error| OpenError::new("list file systems", Reason::Io).because(error))?;
    let block = options.roots.sys.join("class/block");
    Ok(Some(Box::new(Space { block, disks, known: Vec::new(), read: None })))
}

struct Space {
    block: PathBuf,
    disks: Disks,
    /// Disk, size and available bytes of its largest file system.
    known: Vec<(String, u64, u64)>,
    read: Option<Timestamp>,
}

impl Space {
    /// The whole disk of a block device: itself, or the one whose folder holds the partition.
    fn disk_of(&self, device: &str) -> Option<String> {
        if !self.block.join(device).join("partition").exists() {
            return self.block.join(device).exists().then(|| device.to_owned());
        }
        names(&self.block, |name| device.starts_with(name) && device != name)
            .into_iter()
            .find(|disk| self.block.join(disk).join(device).exists())
    }

    fn refresh(&mut self) {
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        self.known.clear();
        for disk in &*self.disks {
            let device = disk.name().to_string_lossy();
            let Some(name) = device.strip_prefix("/dev/").and_then(|device| self.disk_of(device)) else {
                continue;
            };
            let (size, available) = (disk.total_space(), disk.available_space());
            match self.known.iter_mut().find(|(known, ..)| *known == name) {
                Some(known) if known.1 < size => *known = (name, size, available),
                Some(_) => {}
                None => self.known.push((name, size, available)),
            }
        }
    }
}

impl Collector for Space {
    fn name(&self) -> &'static str {
        "space"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.read.is_none_or(|last| now.seconds_since(last) >= REFRESH_S) {
            self.read = Some(now);
            self.refresh();
        }
        for (name, size, available) in &self.known {
            let found = batch.devices().find(|(_, info)| info.key == *name).map(|(slot, _)| slot);
            let slot = found.unwrap_or_else(|| batch.device(DeviceInfo::new(DeviceKind::Disk, name.clone())));
            batch.set(slot, Metric::DiskSpaceSize, *size as f64);
            batch.set(slot, Metric::DiskSpaceAvailable, *available as f64);
        }
        Ok(())
    }
}
