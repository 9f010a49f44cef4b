//! Space on file systems, by the disk they lie on. Asking a file system can hang, so this runs on a worker.
use super::file::names;
use crate::{Options, Roots};
use model::error::{OpenError, Reason};
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Timestamp};
use std::path::{Path, PathBuf};
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
    let places = Places { dev: PathBuf::from("/dev"), block: options.roots.sys.join("class/block") };
    Ok(Some(Box::new(Space { places, disks, known: Vec::new(), read: None })))
}

/// Where block devices are.
struct Places {
    /// Their nodes.
    dev: PathBuf,
    /// What sysfs says of them.
    block: PathBuf,
}

impl Places {
    /// The whole disk on which a mounted device lies, under the name that `/proc/diskstats` gives it: the device itself,
    /// or the one whose folder holds the partition. `None` for what is no block device, such as a remote file system.
    fn disk_of(&self, mounted: &Path) -> Option<String> {
        // Volumes of LVM are mounted by a link: /dev/mapper/root is ../dm-0.
        let node = std::fs::canonicalize(mounted).ok()?;
        // sysfs writes a slash in a device's name as an exclamation mark.
        let device = node.strip_prefix(&self.dev).ok()?.to_str()?.replace('/', "!");
        let folder = self.block.join(&device);
        if !folder.exists() {
            return None;
        }
        let disk = match folder.join("partition").exists() {
            false => device,
            true => names(&self.block, |name| device.starts_with(name) && device != name)
                .into_iter()
                .find(|disk| self.block.join(disk).join(&device).exists())?,
        };
        Some(disk.replace('!', "/"))
    }
}

/// The largest file system of a disk.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    disk: String,
    size: u64,
    available: u64,
}

/// Keeps the larger of two file systems of one disk. One of no size is one that did not answer.
fn keep(known: &mut Vec<Known>, next: Known) {
    match known.iter_mut().find(|old| old.disk == next.disk) {
        Some(old) if old.size < next.size => *old = next,
        Some(_) => {}
        None if next.size > 0 => known.push(next),
        None => {}
    }
}

struct Space {
    places: Places,
    disks: Disks,
    known: Vec<Known>,
    read: Option<Timestamp>,
}

impl Space {
    fn refresh(&mut self) {
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        self.known.clear();
        for mounted in &*self.disks {
            if let Some(disk) = self.places.disk_of(Path::new(mounted.name())) {
                let (size, available) = (mounted.total_space(), mounted.available_space());
                keep(&mut self.known, Known { disk, size, available });
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
        // A disk that goes is ended by the source of disk traffic; here it is only not spoken of any more.
        for known in &self.known {
            let found = batch.devices().find(|(_, info)| info.key == known.disk).map(|(slot, _)| slot);
            let slot =
                found.unwrap_or_else(|| batch.device(DeviceInfo::new(DeviceKind::Disk, known.disk.clone())));
            batch.set(slot, Metric::DiskSpaceSize, known.size as f64);
            batch.set(slot, Metric::DiskSpaceAvailable, known.available as f64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// Nodes and folders of block devices: `disk`, or `disk/partition`.
    fn places(home: &Path, devices: &[&str]) -> Places {
        let places = Places { dev: home.join("dev"), block: home.join("block") };
        for device in devices {
            let (disk, partition) = device.split_once('/').unwrap_or((device, ""));
            fs::create_dir_all(places.block.join(disk).join(partition)).unwrap();
            if !partition.is_empty() {
                fs::create_dir_all(places.block.join(partition)).unwrap();
                fs::write(places.block.join(partition).join("partition"), "1\n").unwrap();
            }
            for name in [disk, partition].into_iter().filter(|name| !name.is_empty()) {
                let node = places.dev.join(name.replace('!', "/"));
                fs::create_dir_all(node.parent().unwrap()).unwrap();
                fs::write(node, "").unwrap();
            }
        }
        places
    }

    #[test]
    fn a_partition_belongs_to_its_disk_and_a_volume_to_what_its_link_names() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let devices =
            ["vda/vda1", "nvme0n1/nvme0n1p2", "nvme0n10", "dm-0", "md127", "cciss!c0d0/cciss!c0d0p1"];
        let places = places(&home, &devices);
        fs::create_dir_all(places.dev.join("mapper")).unwrap();
        std::os::unix::fs::symlink("../dm-0", places.dev.join("mapper/vg-root")).unwrap();
        let disk = |node: &str| places.disk_of(&places.dev.join(node));
        for (node, expected) in [
            ("vda1", "vda"),
            ("vda", "vda"),
            ("nvme0n1p2", "nvme0n1"),
            ("nvme0n10", "nvme0n10"),
            ("mapper/vg-root", "dm-0"),
            ("md127", "md127"),
            ("cciss/c0d0p1", "cciss/c0d0"),
        ] {
            assert_eq!(disk(node).as_deref(), Some(expected), "{node}");
        }
    }

    #[test]
    fn what_is_no_block_device_has_no_disk() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let places = places(&home, &["vda"]);
        fs::write(places.dev.join("fuse"), "").unwrap();
        for mounted in ["fuse", "gone"].map(|name| places.dev.join(name)) {
            assert_eq!(places.disk_of(&mounted), None, "{mounted:?}");
        }
        for mounted in ["overlay", "server:/export", "tmpfs", ""] {
            assert_eq!(places.disk_of(Path::new(mounted)), None, "{mounted}");
        }
    }

    #[test]
    fn the_largest_file_system_of_a_disk_counts_and_one_without_an_answer_does_not() {
        let entry = |disk: &str, size, available| Known { disk: disk.into(), size, available };
        let mut known = Vec::new();
        let mounted = [
            entry("vda", 1, 1),
            entry("vdb", 0, 0),
            entry("vda", 9, 4),
            entry("vda", 3, 3),
            entry("vda", 0, 0),
        ];
        mounted.into_iter().for_each(|next| keep(&mut known, next));
        assert_eq!(known, [entry("vda", 9, 4)]);
    }

    #[test]
    fn the_disks_of_this_machine_have_room() {
        let options = Options::default();
        let mut source = open(&options).unwrap().unwrap();
        let mut batch = Batch::default();
        source.collect(Timestamp::default(), &mut batch).unwrap();
        if batch.devices().next().is_none() {
            eprintln!("NOTICE: skipped, because no disk is mounted here");
        }
        for (slot, info) in batch.devices() {
            let value = |metric| batch.reading(slot, metric).and_then(model::Reading::value).unwrap();
            let (size, available) = (value(Metric::DiskSpaceSize), value(Metric::DiskSpaceAvailable));
            assert!(size > 0.0 && available <= size, "{}: {available} of {size}", info.key);
        }
    }

    #[test]
    fn an_answer_stands_for_thirty_seconds_and_is_given_on_every_beat() {
        let places = Places { dev: PathBuf::from("/dev"), block: PathBuf::from("/nowhere") };
        let disks = Disks::new().unwrap();
        let mut space = Space { places, disks, known: Vec::new(), read: None };
        let mut batch = Batch::default();
        let mut given = |space: &mut Space, second| {
            batch.begin();
            space.collect(Timestamp::default().after(Duration::from_secs(second)), &mut batch).unwrap();
            batch.readings().len()
        };
        assert_eq!(given(&mut space, 100), 0, "no disk is known to this sysfs");
        // An answer that a real reading would throw away shows when that reading happens.
        space.known.push(Known { disk: "vda".into(), size: 2, available: 1 });
        assert_eq!([101, 129].map(|second| given(&mut space, second)), [2, 2]);
        assert_eq!(given(&mut space, 130), 0);
    }

    #[test]
    fn a_fixture_tree_has_no_mounts() {
        let roots = Roots::below(Path::new("/nowhere"));
        let options = Options { roots, ..Options::default() };
        assert!(open(&options).unwrap().is_none());
    }
}
