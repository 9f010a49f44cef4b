//! Faults that come back: one that returns on the same device after reboots or resets that did not help asks for an
//! inspection of the hardware. It finds nothing by itself; it revises what the detectors before it have found.
use crate::catalogue::{Catalogue, Limit};
use crate::keep::{KEY_MAX, Reader, Writer};
use crate::thresholds::Thresholds;
use model::{
    Detector, Device, DeviceId, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric,
    NoticeKind, Remedy,
};

/// The name, and with its version the mark of what is kept.
const NAME: &str = "repeats";
const MARK: &[u8; 8] = b"repeats\x01";
/// Faults remembered at once; past that, those longest unseen are forgotten.
const RECORDS_MAX: usize = 256;
const DAY_S: f64 = 86_400.0;
/// The attribute of the node with the kernel's identity of this boot.
const BOOT: &str = "boot";
/// Written where a number is not known.
const UNKNOWN: f64 = -1.0;

/// One fault of one device.
#[derive(Debug, Clone, PartialEq)]
struct Record {
    kind: DeviceKind,
    key: String,
    fault: FaultKind,
    code: u32,
    /// Reboots and resets after which it came back.
    returns: u32,
    /// Whether there was one since it was last seen.
    renewed: bool,
    /// Wall clock at which it was last seen, in seconds: the only clock that outlives a reboot.
    last_s: f64,
    /// The device's uncorrected memory errors since its last reset, when they were last read.
    errors: Option<f64>,
}

/// The system as it was last seen.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// The kernel's identity of this boot, empty where it is not known.
    boot: String,
    /// Below 0 until it was seen.
    uptime_s: f64,
    /// When it was started by the wall clock, in seconds.
    boot_s: f64,
    /// Whether an earlier run of the agent saw it.
    recalled: bool,
}

impl Seen {
    fn never() -> Self {
        Self { boot: String::new(), uptime_s: UNKNOWN, boot_s: UNKNOWN, recalled: false }
    }
}

#[derive(Debug)]
struct Repeats {
    catalogue: &'static Catalogue,
    records: Vec<Record>,
    seen: Seen,
    /// Faults that were new or came back.
    news: u64,
}

/// Opens the detector. It comes last.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Repeats { catalogue: thresholds.catalogue, records: Vec::new(), seen: Seen::never(), news: 0 })
}

impl Repeats {
    /// Whether the node was rebooted since the beat before, or since an earlier run of the agent.
    ///
    /// The kernel's identity of the boot tells, where it is known. Else uptime that fell is proof. A reboot between two runs may
    /// be long ago, so that uptime has grown past what it was; then the system's start has moved. A step of the wall clock
    /// moves it too, so it must move by more than such a step, and while the agent runs it is not asked: a reboot would have
    /// ended it. Without the identity a reboot soon after another may so be missed.
    fn rebooted(&mut self, frame: &Frame) -> bool {
        let mut nodes = frame.devices.of_kind(DeviceKind::Node);
        let read = |node: &Device| Some((node.id, frame.value(node.id, Metric::Uptime)?));
        let Some((node, uptime_s)) = nodes.find_map(read) else { return false };
        let boot = frame.devices.get(node).info.attributes.get(BOOT).map_or("", String::as_str);
        let boot_s = frame.at.unix_seconds() - uptime_s;
        let seen = &mut self.seen;
        let rebooted = match (boot, seen.boot.as_str()) {
            _ if seen.uptime_s < 0.0 => false,
            (now, before) if !now.is_empty() && !before.is_empty() => now != before,
            _ => {
                let moved = boot_s - seen.boot_s > self.catalogue.limit(Limit::ClockStep);
                uptime_s < seen.uptime_s || (seen.recalled && moved)
            }
        };
        if boot != seen.boot {
            boot.clone_into(&mut seen.boot);
        }
        (seen.uptime_s, seen.boot_s, seen.recalled) = (uptime_s, boot_s, false);
        rebooted
    }

    /// Marks the records of a device, or of every device, as older than a reboot or reset.
    fn renew(&mut self, frame: &Frame, device: Option<DeviceId>) {
        let info = device.map(|device| &frame.devices.get(device).info);
        let hit = |record: &&mut Record| info.is_none_or(|i| i.kind == record.kind && i.key == record.key);
        self.records.iter_mut().filter(hit).for_each(|record| record.renewed = true);
    }

    /// A reset sets the count of uncorrected errors back.
    fn follow_errors(&mut self, frame: &Frame) {
        for record in &mut self.records {
            let device = frame.devices.find(record.kind, &record.key);
            let errors = device.and_then(|id| frame.value(id, Metric::EccUncorrectedVolatile));
            if let Some(now) = errors {
                record.renewed |= record.errors.is_some_and(|before| now < before);
                record.errors = Some(now);
            }
        }
    }

    fn revise(&mut self, frame: &Frame, finding: &mut Finding) {
        let needed = self.catalogue.repeats(finding.fault, finding.code);
        if needed == 0 {
            return;
        }
        let place = self.place(frame, finding);
        let record = &mut self.records[place];
        let returned = std::mem::take(&mut record.renewed);
        record.returns = record.returns.saturating_add(u32::from(returned));
        self.news += u64::from(returned);
        record.last_s = frame.at.unix_seconds();
        if record.returns >= needed {
            finding.remedy = finding.remedy.max(Remedy::InspectHardware);
        }
    }

    /// The record of a fault, made where there is none.
    fn place(&mut self, frame: &Frame, finding: &Finding) -> usize {
        let Finding { device, fault, code, .. } = *finding;
        let info = &frame.devices.get(device).info;
        let own = |r: &Record| r.fault == fault && r.code == code && r.kind == info.kind && r.key == info.key;
        if let Some(place) = self.records.iter().position(own) {
            return place;
        }
        if self.records.len() >= RECORDS_MAX {
            let ages = self.records.iter().enumerate();
            if let Some((oldest, _)) = ages.min_by(|(_, a), (_, b)| a.last_s.total_cmp(&b.last_s)) {
                self.records.swap_remove(oldest);
            }
        }
        self.news += 1;
        self.records.push(Record {
            kind: info.kind,
            key: info.key.clone(),
            fault,
            code,
            returns: 0,
            renewed: false,
            last_s: frame.at.unix_seconds(),
            errors: frame.value(device, Metric::EccUncorrectedVolatile),
        });
        self.records.len() - 1
    }
}

impl Detector for Repeats {
    fn name(&self) -> &'static str {
        NAME
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        let (now_s, kept_s) = (frame.at.unix_seconds(), DAY_S * self.catalogue.limit(Limit::RepeatDays));
        // One that seems to be of the future stays: a clock that was not set yet must not forget it.
        self.records.retain(|record| now_s - record.last_s < kept_s);
        if self.rebooted(frame) {
            self.renew(frame, None);
        }
        for notice in frame.notices.iter().filter(|notice| notice.kind == NoticeKind::Back) {
            self.renew(frame, Some(notice.device));
        }
        self.follow_errors(frame);
        events.revise().for_each(|finding| self.revise(frame, finding));
    }

    fn bytes(&self) -> usize {
        let keys: usize = self.records.iter().map(|record| record.key.capacity()).sum();
        self.records.capacity() * size_of::<Record>() + keys
    }

    fn pressing(&self) -> u64 {
        self.news
    }

    fn learnt(&self, _: &Frame) -> Option<Vec<u8>> {
        let mut writer = Writer::new(MARK);
        writer.key(&self.seen.boot);
        writer.number(self.seen.uptime_s);
        writer.number(self.seen.boot_s);
        for record in self.records.iter().filter(|record| record.key.len() <= KEY_MAX) {
            writer.key(record.kind.as_str());
            writer.key(&record.key);
            writer.key(record.fault.as_str());
            let flag = if record.renewed { 1.0 } else { 0.0 };
            let counts = [f64::from(record.code), f64::from(record.returns), flag, record.last_s];
            counts.into_iter().for_each(|number| writer.number(number));
            writer.number(record.errors.unwrap_or(UNKNOWN));
        }
        Some(writer.done())
    }

    fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut reader = Reader::new(bytes, MARK)?;
        let (boot, uptime_s, boot_s) = (reader.key()?, reader.number()?, reader.number()?);
        let mut records = Vec::new();
        while !reader.is_done() {
            if records.len() == RECORDS_MAX {
                return Err("too long");
            }
            records.push(record(&mut reader)?);
        }
        self.records = records;
        self.seen = Seen { boot, uptime_s, boot_s, recalled: true };
        Ok(())
    }
}

fn record(reader: &mut Reader<'_>) -> Result<Record, &'static str> {
    let (kind, key, fault) = (reader.key()?, reader.key()?, reader.key()?);
    let kind = DeviceKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let fault = FaultKind::ALL.iter().copied().find(|known| known.as_str() == fault);
    Ok(Record {
        kind: kind.ok_or("not a kind of device")?,
        key,
        fault: fault.ok_or("not a fault")?,
        code: whole(reader.number()?)?,
        returns: whole(reader.number()?)?,
        renewed: reader.number()? > 0.0,
        last_s: reader.number()?,
        errors: Some(reader.number()?).filter(|errors| *errors >= 0.0),
    })
}

/// A count, which must be one.
fn whole(number: f64) -> Result<u32, &'static str> {
    let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    // In range and whole, so the conversion is exact.
    if fits { Ok(number as u32) } else { Err("not a count") }
}

#[cfg(test)]
mod tests;
