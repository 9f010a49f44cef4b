//! One AMD card: who it is, which of its files say something, and its readings of a beat.
use super::kfd::Kfd;
use super::ras::Ras;
use super::rows::{DEVICE, DEVICE_SELDOM, HEATS, MONITOR, MONITOR_SELDOM, heat_metric};
use super::table::{Fault, LINKS_MAX, Table};
use super::throttle::Throttle;
use crate::sysfs::bus::Meeting;
use crate::sysfs::seldom::Seldom;
use crate::sysfs::{Attr, Form, Gauge, PCIE, absence, gauges, monitor, word};
use model::error::Reason;
use model::{
    Absence, Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Metric, NoticeKind, Reading,
    Slot, Timestamp, Vendor,
};
use std::path::{Path, PathBuf};

/// Makes the source of a card; nothing is read yet.
pub(super) fn open(meeting: Meeting) -> Box<dyn Collector> {
    Box::new(Board { meeting, slot: None, able: Able::default() })
}

/// Where a card's limits are.
pub(super) fn hwmon(device: &Path) -> Option<PathBuf> {
    monitor(device, &["amdgpu"])
}

struct Board {
    meeting: Meeting,
    slot: Option<Slot>,
    able: Able,
}

/// What a card has, found out once.
#[derive(Default)]
struct Able {
    gauges: Vec<Gauge>,
    seldom: Seldom,
    ras: Ras,
    kfd: Kfd,
    table: Option<Metrics>,
    partitions: Option<Attr>,
    links: [Option<Slot>; LINKS_MAX],
}

/// The `gpu_metrics` table of a card.
struct Metrics {
    attr: Attr,
    /// What it has said, and no file of its own says.
    said: Vec<Metric>,
    throttle: Throttle,
}

impl Able {
    fn found(meeting: &Meeting) -> Self {
        let (device, calls) = (meeting.card.folder.as_path(), &meeting.calls);
        let (mut often, mut seldom) = (Vec::new(), Vec::new());
        gauges(DEVICE, device, calls, &mut often);
        gauges(DEVICE_SELDOM, device, calls, &mut seldom);
        gauges(PCIE, device, calls, &mut seldom);
        let numa = ("numa_node", Metric::NumaNode, Form::Number(1.0));
        // The kernel writes -1 where the card belongs to no node.
        if !word(device.join(numa.0)).starts_with('-') {
            gauges(&[numa], device, calls, &mut seldom);
        }
        if let Some(folder) = hwmon(device) {
            gauges(MONITOR, &folder, calls, &mut often);
            gauges(MONITOR_SELDOM, &folder, calls, &mut seldom);
            heats(&folder, calls, &mut often, &mut seldom);
        }
        let attr = |name: &'static str| {
            Some(device.join(name)).filter(|path| path.exists()).map(|path| Attr::new(name, path))
        };
        let table =
            attr("gpu_metrics").map(|attr| Metrics { attr, said: Vec::new(), throttle: Throttle::default() });
        Self {
            gauges: often,
            seldom: Seldom::new(seldom),
            ras: Ras::found(device),
            kfd: Kfd::found(&meeting.roots, &meeting.card.pci, calls),
            table,
            partitions: attr("current_compute_partition"),
            links: [None; LINKS_MAX],
        }
    }
}

/// Temperatures by their labels, and the limits of the first that has them: edge, else junction.
fn heats(folder: &Path, calls: &Calls, often: &mut Vec<Gauge>, seldom: &mut Vec<Gauge>) {
    let milli = Form::Number(1e-3);
    for heat in &HEATS {
        let Some(metric) = heat_metric(&word(folder.join(heat.label))) else { continue };
        gauges(&[(heat.input, metric, milli)], folder, calls, often);
        let limits = if metric == Metric::TemperatureMemory {
            vec![(heat.critical, Metric::TemperatureMemoryMax, milli)]
        } else {
            vec![
                (heat.critical, Metric::TemperatureSlowdown, milli),
                (heat.emergency, Metric::TemperatureShutdown, milli),
            ]
        };
        gauges(&limits, folder, calls, seldom);
    }
}

impl Board {
    /// Registers the card and finds out what it has.
    fn settle(&mut self, now: Timestamp, batch: &mut Batch) -> Slot {
        let slot = batch.device(self.meeting.info(DeviceKind::Gpu, Vendor::Amd, "AMD GPU"));
        self.able = Able::found(&self.meeting);
        if self.slot.is_none() && self.meeting.card.doubled {
            batch.notice(slot, NoticeKind::Duplicate, 0, now);
        }
        self.slot = Some(slot);
        slot
    }

    /// Reads the table, for what no file of its own says.
    fn table(&mut self, now: Timestamp, slot: Slot, batch: &mut Batch) {
        let Self { meeting, able, .. } = self;
        let Some(Metrics { attr, said, throttle }) = &mut able.table else { return };
        let absent = |said: &[Metric], reason, batch: &mut Batch| {
            said.iter().for_each(|metric| batch.absent(slot, *metric, reason));
        };
        let bytes = match attr.bytes(&meeting.calls) {
            Ok(bytes) => bytes,
            Err(error) => return absent(said, absence(&error), batch),
        };
        match Table::of(bytes) {
            Ok(table) => {
                for (metric, value) in table.metrics() {
                    if able.gauges.iter().any(|gauge| gauge.metric() == metric) {
                        continue;
                    }
                    if !said.contains(&metric) {
                        said.push(metric);
                    }
                    batch.set(slot, metric, value);
                }
                throttle.read(&table, now, slot, batch);
                links(&table, meeting, &mut able.links, slot, batch);
            }
            // A version that is not known is not asked for again.
            Err(Fault::Unknown) if said.is_empty() => able.table = None,
            Err(_) => absent(said, Absence::Implausible, batch),
        }
    }
}

/// Links that were ever used are devices of their own.
fn links(
    table: &Table<'_>,
    meeting: &Meeting,
    slots: &mut [Option<Slot>; LINKS_MAX],
    card: Slot,
    batch: &mut Batch,
) {
    let (mut all, mut up) = (0_u32, None);
    for (n, slot) in slots.iter_mut().enumerate() {
        let Some(link) = table.link(n) else { continue };
        let info = || DeviceInfo {
            name: format!("{}/xgmi{n}", meeting.name),
            vendor: Vendor::Amd,
            parent: meeting.card.key().to_owned(),
            ..DeviceInfo::new(DeviceKind::Link, format!("{}/xgmi{n}", meeting.card.key()))
        };
        let slot = *slot.get_or_insert_with(|| batch.device(info()));
        all += 1;
        if let Some(is_up) = link.up {
            batch.flag(slot, Metric::LinkUp, is_up);
            up = Some(up.unwrap_or(0) + u32::from(is_up));
        }
        for (metric, value) in [
            (Metric::LinkSpeed, link.speed),
            (Metric::LinkReceived, link.moved[0]),
            (Metric::LinkSent, link.moved[1]),
        ] {
            if let Some(value) = value {
                batch.set(slot, metric, value);
            }
        }
    }
    if all > 0 {
        batch.set(card, Metric::Links, f64::from(all));
    }
    if let Some(up) = up {
        batch.set(card, Metric::LinksUp, f64::from(up));
    }
}

impl Collector for Board {
    fn name(&self) -> &'static str {
        "amd"
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
        let taken = &batch.readings()[first..];
        if !taken.is_empty() && taken.iter().all(|taken| taken.reading.absence() == Some(Absence::Lost)) {
            return Err(CollectError::new(format!("read {}", self.meeting.name), Reason::Lost));
        }
        self.table(now, slot, batch);
        let Able { seldom, ras, kfd, partitions, .. } = &mut self.able;
        seldom.take(now, &calls, |known| {
            ras.read(&calls, known);
            if let Some(Ok(mode)) = partitions.as_mut().map(|attr| attr.text(&calls)) {
                // SPX is the whole card as one; DPX, TPX, QPX and CPX are parts.
                known.push((Metric::PartitionMode, Reading::Value(f64::from(u8::from(mode != "SPX")))));
            }
        });
        seldom.tell(slot, batch);
        kfd.read(&calls, slot, batch);
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
