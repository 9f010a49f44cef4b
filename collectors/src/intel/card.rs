//! One Intel GPU: who it is, which of its files say something, and its readings of a beat.
use super::power::{channel, found, hwmon};
use super::tiles::Tiles;
use crate::sysfs::bus::Meeting;
use crate::sysfs::growth::Growth;
use crate::sysfs::seldom::Seldom;
use crate::sysfs::{Attr, Form, Gauge, PCIE, absence, gauges, names, numbered, word};
use model::error::Reason;
use model::{
    Absence, Batch, Calls, CollectError, Collector, DeviceKind, Metric, NoticeKind, Reading, Slot, Timestamp,
    Vendor,
};
use std::path::Path;

/// Makes the source of a card; nothing is read yet.
pub(super) fn open(meeting: Meeting) -> Box<dyn Collector> {
    Box::new(Gpu { meeting, slot: None, able: Able::default() })
}

struct Gpu {
    meeting: Meeting,
    slot: Option<Slot>,
    able: Able,
}

/// What a card has, found out once.
#[derive(Default)]
struct Able {
    gauges: Vec<Gauge>,
    seldom: Seldom,
    energy: Option<(Attr, Growth)>,
    tiles: Tiles,
    /// Memory of the card in bytes, where the driver says.
    memory: Option<f64>,
}

impl Able {
    fn found(meeting: &Meeting) -> Self {
        let (device, calls) = (meeting.card.folder.as_path(), &meeting.calls);
        let (mut often, mut seldom, mut energy) = (Vec::new(), Vec::new(), None);
        gauges(PCIE, device, calls, &mut seldom);
        let numa = ("numa_node", Metric::NumaNode, Form::Number(1.0));
        // The kernel writes -1 where the card belongs to no node.
        if !word(device.join(numa.0)).starts_with('-') {
            gauges(&[numa], device, calls, &mut seldom);
        }
        if let Some(folder) = hwmon(device) {
            found(&folder, calls, &mut often, &mut seldom);
            let file = channel(&folder).map(|channel| (channel.energy, folder.join(channel.energy)));
            energy = file
                .filter(|(_, path)| path.exists())
                .map(|(name, path)| (Attr::new(name, path), Growth::default()));
        }
        let tiles = Tiles::found(device, calls, &mut seldom);
        Self { gauges: often, seldom: Seldom::new(seldom), energy, tiles, memory: memory(device, calls) }
    }
}

/// The memory of all tiles together.
fn memory(device: &Path, calls: &Calls) -> Option<f64> {
    let tiles = names(device, |name| numbered(name, "tile").is_some());
    let size = |tile: &String| {
        let path = device.join(tile).join("physical_vram_size_bytes");
        Attr::new("physical_vram_size_bytes", path).number(calls).ok()
    };
    tiles.iter().map(size).sum()
}

impl Gpu {
    fn settle(&mut self, now: Timestamp, batch: &mut Batch) -> Slot {
        let slot = batch.device(self.meeting.info(DeviceKind::Gpu, Vendor::Intel, "Intel GPU"));
        self.able = Able::found(&self.meeting);
        if self.slot.is_none() && self.meeting.card.doubled {
            batch.notice(slot, NoticeKind::Duplicate, 0, now);
        }
        self.slot = Some(slot);
        slot
    }

    /// Energy, and the power that it makes since the last beat: the driver has no power of its own.
    fn energy(&mut self, now: Timestamp, slot: Slot, batch: &mut Batch) {
        let Some((attr, growth)) = &mut self.able.energy else { return };
        match attr.number(&self.meeting.calls) {
            Ok(microjoules) => {
                batch.set(slot, Metric::Energy, microjoules / 1e6);
                let power =
                    growth.rate(now, microjoules).map(|rate| Metric::PowerAverage.reading(rate / 1e6));
                batch.put(slot, Metric::PowerAverage, power.unwrap_or(Reading::Absent(Absence::Late)));
            }
            Err(error) => {
                batch.absent(slot, Metric::Energy, absence(&error));
                batch.absent(slot, Metric::PowerAverage, absence(&error));
            }
        }
    }
}

impl Collector for Gpu {
    fn name(&self) -> &'static str {
        "intel"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        self.meeting.check()?;
        let slot = match self.slot {
            Some(slot) => slot,
            None => {
                self.meeting.learn(&super::CARDS);
                self.settle(now, batch)
            }
        };
        let calls = self.meeting.calls.clone();
        let first = batch.readings().len();
        for gauge in &mut self.able.gauges {
            gauge.read(&calls, slot, batch);
        }
        self.energy(now, slot, batch);
        let taken = &batch.readings()[first..];
        if !taken.is_empty() && taken.iter().all(|taken| taken.reading.absence() == Some(Absence::Lost)) {
            return Err(CollectError::new(format!("read {}", self.meeting.name), Reason::Lost));
        }
        let Able { seldom, tiles, memory, .. } = &mut self.able;
        tiles.read(now, &calls, slot, batch);
        seldom.take(now, &calls, |known| {
            known.extend(memory.map(|bytes| (Metric::MemorySize, Metric::MemorySize.reading(bytes))));
        });
        seldom.tell(slot, batch);
        batch.flag(slot, Metric::Up, true);
        Ok(())
    }

    fn reopen(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let changed = self.meeting.find_again(&super::CARDS)?;
        let slot = self.settle(now, batch);
        if changed {
            batch.notice(slot, NoticeKind::Changed, 0, now);
        }
        Ok(())
    }
}
