//! A sighting: what one beat shows of one process on an accelerator and of what it shares there.
use crate::interference::boards::is_free;
use model::{Device, DeviceId, Frame, Metric, ProcessUse};

/// Other processes that are told apart; further ones are counted with the last.
pub const OTHERS_MAX: usize = 7;
/// A process with less than this share of the time is not there. Drivers give whole percents.
pub(super) const PRESENT: f64 = 0.005;
/// The process by which NVIDIA's MPS is known (CUDA MPS documentation).
const MPS_SERVER: &str = "nvidia-cuda-mps-server";

/// What one beat shows of one process. What is not known is absent, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sighting {
    /// Share of the time in which its kernels ran.
    pub own: Option<f64>,
    /// The same of each other process, the busiest first.
    pub others: [Option<f64>; OTHERS_MAX],
    /// How many others there are.
    pub count: usize,
    /// Whether kernels of several processes run at once.
    pub mps: bool,
    /// Share of the time in which any kernel ran.
    pub busy: Option<f64>,
    /// Share of cycles in which multiprocessors worked.
    pub sm: Option<f64>,
    /// Share of cycles in which matrix pipes worked.
    pub tensor: Option<f64>,
    /// Share of cycles in which device memory was read or written.
    pub memory: Option<f64>,
    /// Data from or to the host, the busier way, as a share of the link's nominal rate.
    pub host: Option<f64>,
    /// SM clock, in hertz.
    pub clock: Option<f64>,
    /// Whether nothing is known to hold the clock down.
    pub free: bool,
}

impl Sighting {
    /// What a frame shows of the process `own` on a device.
    pub fn of(frame: &Frame, device: &Device, own: &ProcessUse) -> Self {
        let id = device.id;
        let there = || frame.processes.iter().filter(|process| process.device == id);
        let mut others = [None; OTHERS_MAX];
        let mut count = 0;
        for other in there().filter(|other| other.pid != own.pid && &*other.name != MPS_SERVER) {
            if other.utilization.is_none_or(|share| share >= PRESENT) {
                insert(&mut others, count, other.utilization);
                count += 1;
            }
        }
        let hot = [Metric::EventHwThermal, Metric::EventSwThermal, Metric::EventPowerBrake];
        let value = |metric| frame.value(id, metric);
        Self {
            own: own.utilization,
            others,
            count,
            mps: there().any(|process| &*process.name == MPS_SERVER),
            busy: value(Metric::Utilization),
            sm: value(Metric::SmActive),
            tensor: value(Metric::TensorActive),
            memory: value(Metric::DramActive),
            host: host(frame, id),
            clock: value(Metric::ClockSm).filter(|clock| *clock > 0.0),
            free: is_free(frame, id) && !hot.iter().any(|metric| frame.flag(id, *metric) == Some(true)),
        }
    }

    /// Its share of the time; while it is alone the board's is its own.
    pub(super) fn share(&self) -> Option<f64> {
        self.own.or(if self.count == 0 { self.busy } else { None })
    }
}

/// Puts one more into a list of so many that begins with the busiest; of too many the least busy is left out.
fn insert(others: &mut [Option<f64>; OTHERS_MAX], count: usize, share: Option<f64>) {
    let busier = |other: &Option<f64>| other.is_none_or(|other| share.is_some_and(|share| other >= share));
    let place = others.iter().take(count).take_while(|other| busier(other)).count();
    if place < OTHERS_MAX {
        others[place..].rotate_right(1);
        others[place] = share;
    }
}

/// The busier way's data over the nominal rate of the link: 0.25 and 0.5 GB a lane at generations 1 and 2 (8b/10b), 0.985 at 3 and
/// twice that with each further one (128b/130b; PCI Express Base Specification).
fn host(frame: &Frame, device: DeviceId) -> Option<f64> {
    let way = |metric| frame.value(device, metric);
    let moved = way(Metric::PcieReceive)?.max(way(Metric::PcieTransmit)?);
    let (generation, lanes) = (way(Metric::PcieGeneration)?, way(Metric::PcieWidth)?);
    let lane = if generation < 3.0 { 0.25e9 * generation } else { 0.985e9 * (generation - 3.0).exp2() };
    (lanes > 0.0 && lane > 0.0).then(|| moved / (lane * lanes))
}
