//! Claims: what each workload has of one accelerator, gathered from processes, partitions and holdings.
use super::naming::Naming;
use model::{DeviceId, DeviceKind, Frame, Holding, Metric, ProcessUse, Workload};
use policy::attribution::Claim;
use std::sync::Arc;

/// Who claims a part, with what is exported of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Claimant {
    /// Who; `None` for processes that nobody can be held to, and for a partition that nobody has.
    pub(super) workload: Option<Arc<Workload>>,
    /// Device memory of its processes, in bytes.
    pub(super) memory_bytes: Option<u64>,
    /// Share of the whole's compute time, 0 to 1.
    pub(super) utilization: Option<f64>,
    /// Its processes there.
    pub(super) processes: u32,
}

/// The claims on one accelerator after the other, in memory that is kept.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Processes by whole accelerator, then by the partition or the whole, then by position in the frame.
    order: Vec<(DeviceId, DeviceId, usize)>,
    partitions: Vec<DeviceId>,
    claimants: Vec<Claimant>,
    claims: Vec<Claim>,
}

impl Claims {
    /// Sorts the processes of a frame.
    pub(super) fn gather(&mut self, frame: &Frame) {
        self.order.clear();
        let key = |(place, process): (usize, &ProcessUse)| {
            (frame.devices.whole(process.device), process.device, place)
        };
        self.order.extend(frame.processes.iter().enumerate().map(key));
        self.order.sort_unstable();
    }

    /// The claims on one whole accelerator; claimants and claims run side by side.
    pub(super) fn of(&mut self, whole: DeviceId, frame: &Frame, naming: &Naming) -> (&[Claimant], &[Claim]) {
        self.claimants.clear();
        self.claims.clear();
        self.undivided(whole, frame, naming);
        let key = &frame.devices.get(whole).info.key;
        self.partitions.clear();
        let parts = frame.devices.of_kind(DeviceKind::Partition).filter(|part| part.info.parent == *key);
        self.partitions.extend(parts.map(|part| part.id));
        for place in 0..self.partitions.len() {
            self.divided(whole, self.partitions[place], frame, naming);
        }
        (&self.claimants, &self.claims)
    }

    /// Those who use the accelerator undivided.
    fn undivided(&mut self, whole: DeviceId, frame: &Frame, naming: &Naming) {
        self.meet(whole, whole, frame, naming.of_device(whole));
        let listed = frame.value(whole, Metric::Processes).is_some();
        for claimant in &mut self.claimants {
            // Where the driver lists processes, who has none there does nothing; else nobody knows.
            let absent = (claimant.processes == 0 && listed).then_some(0.0);
            self.claims.push(Claim {
                activity: claimant.utilization.or(absent),
                memory_bytes: memory(claimant).or(absent),
                slice: None,
            });
        }
    }

    /// Those who have a partition: its activity is theirs, times the part of the whole that it is.
    fn divided(&mut self, whole: DeviceId, part: DeviceId, frame: &Frame, naming: &Naming) {
        let first = self.claimants.len();
        self.meet(whole, part, frame, naming.of_device(part));
        if self.claimants.len() == first {
            self.claimants.push(Claimant::default());
        }
        let size = |device| frame.value(device, Metric::MemorySize).filter(|size| *size > 0.0);
        // Counts are small, so the conversions are exact.
        let even = 1.0 / self.partitions.len().max(1) as f64;
        let fraction = size(part).zip(size(whole)).map_or(even, |(part, whole)| (part / whole).min(1.0));
        let busy = [Metric::SmActive, Metric::GraphicsActive, Metric::Utilization];
        let busy = busy.into_iter().find_map(|metric| frame.value(part, metric));
        let claimants = &mut self.claimants[first..];
        let count = claimants.len() as f64;
        let told: f64 = claimants.iter().filter_map(|claimant| claimant.utilization).sum();
        let bytes: Option<f64> = claimants.iter().map(memory).sum();
        for claimant in claimants {
            let weight = match bytes {
                _ if told > 0.0 => claimant.utilization.unwrap_or(0.0) / told,
                Some(bytes) if bytes > 0.0 => memory(claimant).unwrap_or(0.0) / bytes,
                _ => 1.0 / count,
            };
            let own = busy.map(|busy| busy * weight).or(claimant.utilization);
            claimant.utilization = own.map(|own| own * fraction);
            self.claims.push(Claim {
                activity: claimant.utilization,
                memory_bytes: memory(claimant),
                slice: Some(fraction / count),
            });
        }
    }

    /// Adds a claimant for each workload that has processes on a device or holds it.
    ///
    /// A process that cannot be seen from here, as without the host's pid namespace, is its holder's where there is one
    /// holder only.
    fn meet(&mut self, whole: DeviceId, own: DeviceId, frame: &Frame, holdings: &[Holding]) {
        let first = self.claimants.len();
        let sole = if let [only] = holdings { Some(&only.workload) } else { None };
        let from = self.order.partition_point(|(w, o, _)| (*w, *o) < (whole, own));
        for (_, _, place) in self.order[from..].iter().take_while(|(w, o, _)| (*w, *o) == (whole, own)) {
            let process = &frame.processes[*place];
            let workload = process.workload.as_ref().or(sole);
            let claimant = claimant(&mut self.claimants, first, workload);
            claimant.processes += 1;
            add(&mut claimant.memory_bytes, process.memory_bytes);
            claimant.utilization = sum(claimant.utilization, process.utilization);
        }
        for holding in holdings {
            claimant(&mut self.claimants, first, Some(&holding.workload));
        }
    }
}

/// The claimant with this workload from `first` on, added where there is none.
fn claimant<'a>(
    list: &'a mut Vec<Claimant>,
    first: usize,
    workload: Option<&Arc<Workload>>,
) -> &'a mut Claimant {
    let same = |claimant: &Claimant| match (&claimant.workload, workload) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    };
    let place = list[first..].iter().position(same).map_or(list.len(), |place| first + place);
    if place == list.len() {
        list.push(Claimant { workload: workload.cloned(), ..Claimant::default() });
    }
    &mut list[place]
}

fn add(all: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *all = Some(all.unwrap_or(0).saturating_add(more));
    }
}

fn sum(all: Option<f64>, more: Option<f64>) -> Option<f64> {
    more.map_or(all, |more| Some(all.unwrap_or(0.0) + more))
}

/// Device memory is far below 2^53 bytes, so the conversion is exact.
fn memory(claimant: &Claimant) -> Option<f64> {
    claimant.memory_bytes.map(|bytes| bytes as f64)
}

/// Takes another claimant's numbers over, as for one workload on several partitions.
pub(super) fn join(all: &mut Claimant, more: &Claimant) {
    add(&mut all.memory_bytes, more.memory_bytes);
    all.utilization = sum(all.utilization, more.utilization);
    all.processes += more.processes;
}
