//! Intel NPUs through the accel class: intel_vpu's counters of busy time and memory, and its clocks.
use crate::sysfs::bus::{Bus, Meeting, Plan};
use crate::sysfs::cards::Kind;
use crate::sysfs::growth::Growth;
use crate::sysfs::seldom::Seldom;
use crate::sysfs::{Attr, Form, Gauge, Row, absence, gauges};
use crate::{Entry, Need, Options};
use model::{
    Absence, Batch, CollectError, Collector, DeviceKind, Metric, NoticeKind, OpenError, Reading, Slot,
    Timestamp, Vendor,
};

const NPUS: Kind =
    Kind { class: ("accel", "accel"), vendor: "0x8086", drivers: &["intel_vpu"], products: &[] };
const PLAN: Plan = Plan { name: "intel-npu", prefix: "npu", kind: NPUS, open: meet };

/// Of the device, on every beat. The driver calls the bytes in use a utilisation. Since kernels 6.11 to 6.15.
const OFTEN: &[Row] = &[
    ("npu_memory_utilization", Metric::MemoryUsed, Form::Number(1.0)),
    ("npu_current_frequency_mhz", Metric::ClockSm, Form::Number(1e6)),
];
/// Of the device, seldom.
const SELDOM: &[Row] = &[("npu_max_frequency_mhz", Metric::ClockSmMax, Form::Number(1e6))];

/// The line of Intel's NPUs in the table of sources.
pub const ENTRY: Entry = Entry::worker(
    "intel-npu",
    open,
    &[Need { what: "Intel NPU readings (/sys/class/accel)", right: "none", without: "nothing" }],
);

/// Opens the source; `None` on a host without Intel NPUs.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let here = NPUS.expected(&options.roots);
    Ok(here.then(|| Box::new(Bus::new(PLAN, options.roots.clone())) as Box<dyn Collector>))
}

fn meet(meeting: Meeting) -> Box<dyn Collector> {
    Box::new(Npu { meeting, slot: None, gauges: Vec::new(), seldom: Seldom::default(), busy: None })
}

struct Npu {
    meeting: Meeting,
    slot: Option<Slot>,
    gauges: Vec<Gauge>,
    seldom: Seldom,
    /// Microseconds in which it worked.
    busy: Option<(Attr, Growth)>,
}

impl Npu {
    fn settle(&mut self, batch: &mut Batch) -> Slot {
        let slot = batch.device(self.meeting.info(DeviceKind::Npu, Vendor::Intel, "Intel NPU"));
        let (device, calls) = (self.meeting.card.folder.clone(), &self.meeting.calls);
        let mut seldom = Vec::new();
        self.gauges.clear();
        gauges(OFTEN, &device, calls, &mut self.gauges);
        gauges(SELDOM, &device, calls, &mut seldom);
        self.seldom = Seldom::new(seldom);
        let busy = "npu_busy_time_us";
        let path = Some(device.join(busy)).filter(|path| path.exists());
        self.busy = path.map(|path| (Attr::new(busy, path), Growth::default()));
        self.slot = Some(slot);
        slot
    }
}

impl Collector for Npu {
    fn name(&self) -> &'static str {
        "intel-npu"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        self.meeting.check()?;
        let slot = match self.slot {
            Some(slot) => slot,
            None => {
                self.meeting.learn(&NPUS);
                self.settle(batch)
            }
        };
        let calls = &self.meeting.calls;
        self.gauges.iter_mut().for_each(|gauge| gauge.read(calls, slot, batch));
        if let Some((attr, growth)) = &mut self.busy {
            let reading = match attr.number(calls) {
                // The driver adds a job's time when the job ends, which may be more than passed since the last beat.
                Ok(busy_us) => {
                    growth.rate(now, busy_us).map(|rate| Metric::Utilization.reading((rate / 1e6).min(1.0)))
                }
                Err(error) => Some(Reading::Absent(absence(&error))),
            };
            batch.put(slot, Metric::Utilization, reading.unwrap_or(Reading::Absent(Absence::Late)));
        }
        self.seldom.take(now, calls, |_| {});
        self.seldom.tell(slot, batch);
        batch.flag(slot, Metric::Up, true);
        Ok(())
    }

    fn reopen(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let changed = self.meeting.find_again(&NPUS)?;
        let slot = self.settle(batch);
        if changed {
            batch.notice(slot, NoticeKind::Changed, 0, now);
        }
        Ok(())
    }
}
