//! The node: boards and the rest of the machine, stepped together in whole quanta.
use crate::board::{Board, QUANTUM_S};
use crate::fault::Fault;
use crate::held::Held;
use crate::load::Workload;
use crate::profile::Profile;
use model::{DeviceKind, Vendor};

/// The most boards of a node.
pub const BOARDS_MAX: usize = 16;
/// Logical processors of the simulated host.
pub const CORES: usize = 16;
/// Nanoseconds of a quantum.
pub const QUANTUM_NS: u64 = 10_000_000;
/// Memory of the simulated host, in bytes.
pub const MEMORY_BYTES: u64 = 2 << 40;
/// The layout of the state; a shared file with another number is refused.
pub const LAYOUT: u64 = 0x574b_0005;
/// Time that is caught up in one go; after a longer pause the rest is skipped, so that no call takes long.
const CATCH_UP_QUANTA: u64 = 6_000;

/// Power of everything but boards and processor packages, in watts. An assumption for fans, disks and converters.
const CHASSIS_W: f64 = 420.0;
/// A package's idle power and what full load adds, in watts. An assumption for a 350 W part.
pub(crate) const PACKAGE_IDLE_W: f64 = 95.0;
pub(crate) const PACKAGE_LOAD_W: f64 = 240.0;
/// Power of a package's memory, in watts. An assumption.
pub(crate) const DRAM_W: f64 = 35.0;

/// The whole state of a node, plain old data.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Node {
    /// [`LAYOUT`].
    pub layout: u64,
    /// The seed.
    pub seed: u64,
    /// Quanta run so far.
    pub quantum: u64,
    /// The moment of quantum 0 on the driving clock, in nanoseconds.
    start_ns: u64,
    /// Energy of packages 0 and 1 and of their memories, in joules.
    pub package_j: [f64; 2],
    /// Energy of the packages' memories, in joules.
    pub dram_j: [f64; 2],
    /// Share of the processors that is busy.
    pub busy: f64,
    /// Tasks that run or wait, as the kernel's mean over a minute has it.
    pub load1: f64,
    /// Share of the last ten seconds in which some task waited for a processor.
    pub pressure10: f64,
    /// Time in which some task waited for a processor, in seconds.
    pub stall_s: f64,
    /// Context switches so far.
    pub switches: f64,
    /// What the host's memory holds beside what boards and groups usually need.
    pub held: Held,
    /// Processor time of each core by user, system and idle, in seconds.
    pub core_s: [[f64; 3]; CORES],
    /// The boards; those past `count` are not there.
    pub boards: [Board; BOARDS_MAX],
    /// How many boards there are.
    pub count: u64,
}

impl Node {
    /// A node of idle boards whose time starts at `now_ns` of the driving clock.
    pub fn new(profile: &Profile, boards: usize, seed: u64, now_ns: u64) -> Self {
        Self::of(&vec![profile; boards.clamp(1, BOARDS_MAX)], seed, now_ns)
    }

    /// A node of idle boards of these products, at most [`BOARDS_MAX`] of them; none makes one H100.
    pub fn of(profiles: &[&Profile], seed: u64, now_ns: u64) -> Self {
        let profile = |index: usize| profiles.get(index).copied().unwrap_or(&crate::profile::H100);
        // At most BOARDS_MAX, so that the position fits.
        let board = |index: usize| Board::new(profile(index), index as u32, seed);
        Self {
            layout: LAYOUT,
            seed,
            quantum: 0,
            start_ns: now_ns,
            package_j: [0.0; 2],
            dram_j: [0.0; 2],
            busy: 0.0,
            load1: 0.0,
            pressure10: 0.0,
            stall_s: 0.0,
            switches: 0.0,
            held: Held::default(),
            core_s: [[0.0; 3]; CORES],
            boards: std::array::from_fn(board),
            count: profiles.len().clamp(1, BOARDS_MAX) as u64,
        }
    }

    /// The boards that are part of the node, lost ones included.
    pub fn boards(&self) -> &[Board] {
        &self.boards[..self.count as usize]
    }

    /// A board.
    pub fn board_mut(&mut self, index: usize) -> Option<&mut Board> {
        self.boards[..self.count as usize].get_mut(index)
    }

    /// Moves on to a moment of the driving clock; an earlier one does nothing.
    pub fn step_to(&mut self, now_ns: u64) {
        let due = now_ns.saturating_sub(self.start_ns) / QUANTUM_NS;
        let behind = due.saturating_sub(self.quantum);
        if behind > CATCH_UP_QUANTA {
            self.start_ns += (behind - CATCH_UP_QUANTA) * QUANTUM_NS;
        }
        for _ in 0..behind.min(CATCH_UP_QUANTA) {
            self.step();
        }
    }

    fn step(&mut self) {
        self.quantum += 1;
        let (seed, quantum, count) = (self.seed, self.quantum, self.count as usize);
        let taken = self.neighbours();
        for board in &mut self.boards[..count] {
            board.starved = taken[numa(board.index)];
            board.step(seed, quantum);
        }
        self.contend(taken, count);
        if quantum.is_multiple_of(100) {
            let has = [0, 1].map(|numa_node| Held::FAULTS.map(|fault| self.has(numa_node, fault)));
            self.held = self.held.later(1.0, has, [0, 1].map(|numa_node| self.works(numa_node)));
        }
        for package in 0..2 {
            self.package_j[package] += (PACKAGE_IDLE_W + PACKAGE_LOAD_W * self.busy) * QUANTUM_S;
            self.dram_j[package] += DRAM_W * (0.4 + 0.6 * self.busy) * QUANTUM_S;
        }
        for core in &mut self.core_s {
            core[0] += 0.8 * self.busy * QUANTUM_S;
            core[1] += 0.2 * self.busy * QUANTUM_S;
            core[2] += (1.0 - self.busy) * QUANTUM_S;
        }
    }

    /// On which NUMA nodes a neighbour takes the processors.
    fn neighbours(&self) -> [bool; 2] {
        [0, 1].map(|numa_node| self.has(numa_node, Fault::Neighbour))
    }

    /// Whether a board of a NUMA node has a fault.
    fn has(&self, numa_node: usize, fault: Fault) -> bool {
        self.boards().iter().any(|board| numa(board.index) == numa_node && board.has(fault))
    }

    /// The share of the boards of a NUMA node that have work.
    fn works(&self, numa_node: usize) -> f64 {
        let there = || self.boards().iter().filter(|board| numa(board.index) == numa_node);
        let works = there().filter(|board| board.workload() != Workload::Idle).count();
        works as f64 / there().count().max(1) as f64
    }

    /// What boards and neighbours ask of the processors, and how long tasks wait for them.
    fn contend(&mut self, taken: [bool; 2], count: usize) {
        let work: f64 = self.boards().iter().map(|board| board.busy).sum::<f64>() / count as f64;
        let noise = crate::noise::signed(self.seed, 7000, self.quantum / 100);
        let neighbours = taken.iter().filter(|taken| **taken).count() as f64;
        let asked = 0.04 + 0.35 * work + 0.02 * noise + 0.45 * neighbours;
        self.busy = asked.clamp(0.01, 0.98);
        // A task waits where more is asked of a NUMA node's processors than they have.
        let stalled = (0.05 * work * (1.0 + noise) + 0.5 * neighbours).clamp(0.0, 1.0);
        self.stall_s += stalled * QUANTUM_S;
        self.pressure10 += (stalled - self.pressure10) * QUANTUM_S / 10.0;
        self.load1 += (CORES as f64 * (asked + 0.4 * neighbours) - self.load1) * QUANTUM_S / 60.0;
        self.switches += (4000.0 + 30_000.0 * work + 60_000.0 * neighbours) * QUANTUM_S;
    }

    /// True power of all boards, in watts.
    pub fn boards_w(&self) -> f64 {
        self.boards().iter().map(|board| if board.has(Fault::Lost) { 0.0 } else { board.power_w }).sum()
    }

    /// True power of everything but the boards, in watts.
    pub fn rest_w(&self) -> f64 {
        CHASSIS_W + 2.0 * (PACKAGE_IDLE_W + PACKAGE_LOAD_W * self.busy + DRAM_W * (0.4 + 0.6 * self.busy))
    }

    /// Gives work to a board; ignored when there is no such board.
    pub fn set_workload(&mut self, index: usize, workload: Workload) {
        if let Some(board) = self.board_mut(index) {
            board.set_workload(workload);
        }
    }

    /// The positions of the boards of one vendor and kind, in order: what that vendor's driver sees.
    pub fn of_vendor(&self, vendor: Vendor, kind: DeviceKind) -> impl Iterator<Item = usize> + '_ {
        let is = move |board: &Board| (board.profile().vendor, board.profile().kind) == (vendor, kind);
        self.boards().iter().enumerate().filter(move |(_, board)| is(board)).map(|(index, _)| index)
    }

    /// The PCI address of a board.
    pub fn pci(&self, index: usize) -> String {
        format!("0000:{:02x}:00.0", 0x10 + 8 * index)
    }

    /// The identity of a board, in the form of its vendor: made from the seed and the position.
    pub fn uuid(&self, index: usize) -> String {
        let (a, b) =
            (crate::noise::word(self.seed, index as u64, 1), crate::noise::word(self.seed, index as u64, 2));
        let (w0, w1, w2) = (a >> 32, (a >> 16) & 0xffff, a & 0xffff);
        let profile = self.boards[index].profile();
        match (profile.vendor, profile.kind) {
            (Vendor::Amd, _) => format!("{a:016x}"),
            (Vendor::Intel, DeviceKind::Gpu) => self.pci(index),
            (Vendor::Intel, _) => {
                format!("01P4-HL2080A0-18-U4V{:03}-{:02}-{:02}-{:02}", w1 % 1000, w2 % 24, w0 % 20, b % 20)
            }
            (Vendor::Huawei, _) => {
                format!("{w0:08X}-{:08X}-{:08X}-{:08X}-{:08X}", a & 0xffff_ffff, b >> 32, b & 0xffff_ffff, w1)
            }
            _ => format!("GPU-{w0:08x}-{w1:04x}-{w2:04x}-{:04x}-{:012x}", b >> 48, b & 0xffff_ffff_ffff),
        }
    }
}

/// The NUMA node that a board hangs on.
pub fn numa(index: u32) -> usize {
    (index / 4 % 2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::H100;

    fn busy_node(seed: u64) -> Node {
        let mut node = Node::new(&H100, 8, seed, 0);
        for (index, workload) in Workload::ALL.into_iter().enumerate() {
            node.set_workload(index, workload);
        }
        node
    }

    #[test]
    fn the_same_seed_gives_the_same_state_however_time_is_cut() {
        let (mut one, mut two, mut other) = (busy_node(1), busy_node(1), busy_node(2));
        one.step_to(5_000_000_000);
        for ms in 1..=5000 {
            two.step_to(ms * 1_000_000);
        }
        other.step_to(5_000_000_000);
        assert_eq!(one, two);
        assert_ne!(one.boards[1], other.boards[1]);
    }

    #[test]
    fn a_long_pause_is_skipped_rather_than_caught_up() {
        let mut node = busy_node(1);
        node.step_to(u64::MAX / 2);
        assert_eq!(node.quantum, CATCH_UP_QUANTA);
        let now = u64::MAX / 2 + QUANTUM_NS;
        node.step_to(now);
        assert_eq!(node.quantum, CATCH_UP_QUANTA + 1);
    }

    #[test]
    fn boards_have_identities_of_their_own() {
        let node = busy_node(1);
        let uuids: std::collections::BTreeSet<_> = (0..8).map(|index| node.uuid(index)).collect();
        assert_eq!(uuids.len(), 8);
        assert_eq!(node.uuid(0).len(), "GPU-00000000-0000-0000-0000-000000000000".len());
    }
}
