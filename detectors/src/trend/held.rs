//! Memory that only its owner gives back: without caches, and on a node without what its control groups hold.
use model::{Device, DeviceKind, Frame, Metric};

/// Kinds of such memory that are told apart.
pub(super) const PARTS: usize = 3;
/// Anonymous memory, shared memory and what the kernel cannot give back, of a node.
const NODE: [Metric; PARTS] =
    [Metric::NodeMemoryAnonymous, Metric::NodeMemoryShared, Metric::NodeMemorySlabUnreclaimable];
/// The same of a control group.
const GROUP: [Metric; PARTS] =
    [Metric::CgroupAnonymous, Metric::CgroupShared, Metric::CgroupSlabUnreclaimable];

/// The metrics of the kinds on a device; none where they are not told apart.
pub(super) fn parts(kind: DeviceKind) -> Option<[Metric; PARTS]> {
    match kind {
        DeviceKind::Node => Some(NODE),
        DeviceKind::Cgroup => Some(GROUP),
        _ => None,
    }
}

/// What a device holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    /// The metric that shows it.
    pub(super) metric: Metric,
    /// What growth is looked for in.
    pub(super) level: f64,
    /// What is in use of all there is.
    pub(super) used: f64,
    /// All there is.
    pub(super) size: f64,
    /// The kinds of [`parts`] within the level.
    pub(super) parts: [Option<f64>; PARTS],
    /// Whether it harms none but itself when it is full.
    pub(super) alone: bool,
}

impl Held {
    /// Which kinds are told: where that changes, levels before and after mean different things.
    pub(super) fn told(&self) -> [bool; PARTS] {
        self.parts.map(|part| part.is_some())
    }
}

/// What a device other than the node holds.
pub(super) fn of(frame: &Frame, device: &Device) -> Option<Held> {
    if device.info.kind == DeviceKind::Cgroup {
        return group(frame, device);
    }
    let (level, size) =
        (frame.value(device.id, Metric::MemoryUsed)?, frame.value(device.id, Metric::MemorySize)?);
    Some(Held { metric: Metric::MemoryUsed, level, used: level, size, parts: [None; PARTS], alone: false })
}

/// A group's memory without the page cache and what else the kernel takes back before it kills; all of it where the kernel does not
/// tell them apart.
fn group(frame: &Frame, device: &Device) -> Option<Held> {
    let value = |metric| frame.value(device.id, metric);
    let parts = GROUP.map(value);
    let level = match parts[0] {
        // Slabs are not counted by version 1, and swap not everywhere; what is not counted never grows.
        Some(_) => parts.iter().flatten().sum::<f64>() + value(Metric::CgroupSwap).unwrap_or(0.0),
        None => value(Metric::CgroupMemory)?,
    };
    let limit = value(Metric::CgroupMemoryLimit);
    // What a group without a limit may use is all there is on the node.
    let all = || frame.value(frame.devices.of_kind(DeviceKind::Node).next()?.id, Metric::NodeMemorySize);
    let size = limit.or_else(all)?;
    Some(Held { metric: Metric::CgroupMemory, level, used: level, size, parts, alone: limit.is_some() })
}

/// The node's memory that none of its groups holds.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Whether a group is within another that is followed, by device index.
    inside: Vec<bool>,
    /// Tells one set of groups that could be read from another.
    mark: u64,
    level: Option<f64>,
}

impl Rest {
    /// What the node holds beside its groups, and whether another set of groups moved that by more than `least` of all memory.
    pub(super) fn follow(&mut self, frame: &Frame, node: &Device, least: f64) -> Option<(Held, bool)> {
        let value = |metric| frame.value(node.id, metric);
        let size = value(Metric::NodeMemorySize)?;
        let mut parts = NODE.map(value);
        let swapped =
            value(Metric::SwapSize).zip(value(Metric::SwapFree)).map_or(0.0, |(all, free)| all - free);
        let (metric, used) = match value(Metric::NodeMemoryAvailable) {
            Some(available) => (Metric::NodeMemoryAvailable, size - available + swapped),
            // Kernels before 3.14 do not say what is available.
            None => {
                (Metric::NodeMemoryAnonymous, parts[0]? + parts[1..].iter().flatten().sum::<f64>() + swapped)
            }
        };
        let mark = mark(frame);
        let other = mark != self.mark;
        if other {
            self.mark = mark;
            self.nest(frame);
        }
        let mut level = used;
        for device in frame.devices.of_kind(DeviceKind::Cgroup).filter(|group| !self.inside[group.id.index()])
        {
            let Some(group) = group(frame, device) else { continue };
            level -= group.level;
            for (all, own) in parts.iter_mut().zip(group.parts) {
                *all = all.zip(own).map(|(all, own)| all - own).or(*all);
            }
        }
        let moved = self.level.replace(level).map_or(0.0, |before| (level - before).abs());
        let held = Held { metric, level, used, size, parts, alone: false };
        Some((held, other && moved > least * size))
    }

    /// Finds the groups that are within others, whose memory counts those below.
    fn nest(&mut self, frame: &Frame) {
        self.inside.clear();
        self.inside.resize(frame.devices.len(), false);
        for group in frame.devices.of_kind(DeviceKind::Cgroup) {
            let above = |other: &Device| {
                let below = group.info.key.strip_prefix(other.info.key.as_str());
                below.is_some_and(|below| below.starts_with('/')) && self::group(frame, other).is_some()
            };
            self.inside[group.id.index()] = frame.devices.of_kind(DeviceKind::Cgroup).any(above);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.inside.capacity()
    }
}

/// A number for the set of groups that can be read and for what each tells of its memory.
fn mark(frame: &Frame) -> u64 {
    // FNV-1a over numbers in place of bytes.
    let mix = |mark: u64, number: u64| (mark ^ number).wrapping_mul(0x0100_0000_01b3);
    let groups = frame.devices.of_kind(DeviceKind::Cgroup);
    groups.fold(0xcbf2_9ce4_8422_2325, |mark, device| {
        let bits = |held: Held| held.told().iter().fold(1, |bits, told| 2 * bits + u64::from(*told));
        let told = group(frame, device).map_or(0, bits);
        let known = mix(mix(mark, device.id.index() as u64), device.generation.into());
        mix(known, told)
    })
}
