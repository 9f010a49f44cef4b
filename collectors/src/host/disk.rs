//! Disks: requests, data, waiting and busy time from `/proc/diskstats`, Documentation/admin-guide/iostats.rst.
use super::file::Kept;
use crate::{Options, Roots};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp};

/// Disks followed at most.
const DISKS_MAX: usize = 128;
/// Names remembered at most, partitions and the like included.
const NAMES_MAX: usize = 1024;
/// The unit of the sector columns, whatever the disk's own sectors are.
const SECTOR: f64 = 512.0;
/// Devices that are no disks.
const OTHERS: [&str; 5] = ["loop", "ram", "zram", "sr", "fd"];

/// Column behind the name, metric, scale.
const COLUMNS: [(usize, Metric, f64); 8] = [
    (0, Metric::DiskReads, 1.0),
    (2, Metric::DiskReadBytes, SECTOR),
    (3, Metric::DiskReadWait, 1e-3),
    (4, Metric::DiskWrites, 1.0),
    (6, Metric::DiskWrittenBytes, SECTOR),
    (7, Metric::DiskWriteWait, 1e-3),
    (8, Metric::DiskQueue, 1.0),
    (9, Metric::DiskBusy, 1e-3),
];

/// Opens the source; a kernel without the file has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let stats = Kept::open(options.roots.proc.join("diskstats"));
    let roots = options.roots.clone();
    Ok(stats.ok().map(|stats| Box::new(Disks { roots, stats, known: Vec::new() }) as Box<dyn Collector>))
}

/// A name in the file; partitions and the like are known without a slot.
struct Known {
    name: String,
    slot: Option<Slot>,
    seen: bool,
}

struct Disks {
    roots: Roots,
    stats: Kept,
    known: Vec<Known>,
}

/// Whether a block device is a whole disk.
fn whole(roots: &Roots, name: &str) -> bool {
    let other = |prefix: &&str| super::file::numbered(name, prefix).is_some();
    // sysfs writes a slash in a device's name as an exclamation mark.
    let folder = roots.sys.join("class/block").join(name.replace('/', "!"));
    !OTHERS.iter().any(other) && !folder.join("partition").exists()
}

impl Collector for Disks {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let Self { roots, stats, known } = self;
        known.iter_mut().for_each(|disk| disk.seen = false);
        let text = stats.text().map_err(|error| CollectError::io("read /proc/diskstats", error))?;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.nth(2) else { continue };
            let found = known.iter().position(|disk| disk.name == name);
            if found.is_none() && known.len() >= NAMES_MAX {
                continue;
            }
            let place = found.unwrap_or_else(|| {
                let room = known.iter().filter(|disk| disk.slot.is_some()).count() < DISKS_MAX;
                let slot = (room && whole(roots, name))
                    .then(|| batch.device(DeviceInfo::new(DeviceKind::Disk, name)));
                known.push(Known { name: name.to_owned(), slot, seen: true });
                known.len() - 1
            });
            known[place].seen = true;
            let Some(slot) = known[place].slot else { continue };
            let mut columns = COLUMNS.iter().peekable();
            for (number, word) in words.enumerate() {
                if let Some((_, metric, scale)) = columns.next_if(|(column, ..)| *column == number) {
                    match word.parse::<f64>() {
                        Ok(value) => batch.set(slot, *metric, value * scale),
                        Err(_) => batch.absent(slot, *metric, Absence::Implausible),
                    }
                }
            }
        }
        for disk in known.iter().filter(|disk| !disk.seen) {
            disk.slot.iter().for_each(|slot| batch.gone(*slot, now));
        }
        let gone = known.iter().any(|disk| !disk.seen && disk.slot.is_some());
        // A disk that goes makes room: what had none is looked at again on the next beat.
        known.retain(|disk| disk.seen && (disk.slot.is_some() || !gone));
        Ok(())
    }
}
