//! The faults that are injected, whom they should be told of and as what.
use model::FaultKind;
use sim::{Fault, Node};

/// Whom a fault should be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The board.
    Board,
    /// The node.
    Node,
    /// The source that answers.
    Source,
    /// The chassis fan in front of the board.
    Fan,
    /// The control group of the board's job.
    Group,
}

/// How a fault shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// To a rule, at once.
    AtOnce,
    /// To a rule that looks at a share or a length of time by its nature.
    OverTime,
    /// To no rule: only a comparison finds it.
    ToNoRule,
    /// Not at all: it is no fault, though it looks like one, and must not be told of.
    Never,
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The name.
    pub name: &'static str,
    /// What is done to the board.
    pub injection: Injection,
    /// Whom it should be told of.
    pub whom: Whom,
    /// As what; one of these.
    pub kinds: &'static [FaultKind],
    /// How it shows.
    pub shows: Shows,
    /// For how long it is looked for, in beats.
    pub beats: u32,
    /// Healthy beats before it, at least.
    pub lead: u32,
    /// Seconds from one beat to the next.
    pub beat_s: u32,
}

impl Case {
    /// The same at another beat: what it takes in time stays what it is.
    pub fn at(&self, beat_s: u32) -> Self {
        let beats = |beats: u32| (beats * self.beat_s).div_ceil(beat_s);
        Self { beats: beats(self.beats), lead: beats(self.lead), beat_s, ..*self }
    }
}

/// What is done to a board.
#[derive(Debug, Clone, Copy)]
pub enum Injection {
    /// A fault of the simulator.
    Fault(Fault),
    /// An XID error, and the board falls off the bus.
    Lost(u32),
    /// An XID error alone.
    Xid(u32),
    /// An uncorrectable memory error.
    Uncorrectable,
    /// A fault of the simulator on every board at once.
    Everywhere(Fault),
}

impl Injection {
    /// Does it.
    pub fn act(self, node: &mut Node, board: usize) {
        if let Self::Everywhere(fault) = self {
            return node.boards.iter_mut().for_each(|board| board.inject(fault));
        }
        let board = &mut node.boards[board];
        match self {
            Self::Fault(fault) => board.inject(fault),
            Self::Lost(code) => {
                board.xid(code);
                board.inject(Fault::Lost);
            }
            Self::Xid(code) => board.xid(code),
            Self::Uncorrectable => board.ecc[1] += 1,
            Self::Everywhere(_) => {}
        }
    }
}

const fn rule(name: &'static str, injection: Injection, kinds: &'static [FaultKind]) -> Case {
    Case { name, injection, whom: Whom::Board, kinds, shows: Shows::AtOnce, beats: 60, lead: 600, beat_s: 1 }
}

const fn slow(name: &'static str, fault: Fault, kinds: &'static [FaultKind]) -> Case {
    let injection = Injection::Fault(fault);
    Case {
        name,
        injection,
        whom: Whom::Board,
        kinds,
        shows: Shows::OverTime,
        beats: 600,
        lead: 1200,
        beat_s: 1,
    }
}

const fn hidden(name: &'static str, fault: Fault, kinds: &'static [FaultKind]) -> Case {
    let injection = Injection::Fault(fault);
    Case {
        name,
        injection,
        whom: Whom::Board,
        kinds,
        shows: Shows::ToNoRule,
        beats: 1800,
        lead: 2700,
        beat_s: 1,
    }
}

/// Heat over days, at a beat every ten seconds, since the rule compares half days with those of the days before.
const fn days(name: &'static str, injection: Injection, shows: Shows) -> Case {
    let kinds = &[FaultKind::HeatCreep];
    // Two days before it and four with it.
    Case { name, injection, whom: Whom::Board, kinds, shows, beats: 34_560, lead: 17_280, beat_s: 10 }
}

/// What must not be told of as a fault of these kinds, whomever.
const fn never(name: &'static str, fault: Fault, kinds: &'static [FaultKind]) -> Case {
    Case { shows: Shows::Never, beats: 5400, ..hidden(name, fault, kinds) }
}

/// Every fault.
pub const CASES: &[Case] = &[
    rule("lost", Injection::Lost(79), &[FaultKind::DeviceLost, FaultKind::Xid]),
    rule("xid", Injection::Xid(95), &[FaultKind::Xid]),
    // By its nature a call must be past its deadline for a while.
    Case { shows: Shows::OverTime, ..rule("hang", Injection::Fault(Fault::Hang), &[FaultKind::SourceHung]) },
    rule("uncorrectable", Injection::Uncorrectable, &[FaultKind::EccUncorrectable]),
    rule("remap_failed", Injection::Fault(Fault::RemapFailed), &[FaultKind::RowRemapFailed]),
    rule("remap_pending", Injection::Fault(Fault::RemapPending), &[FaultKind::RepairPending]),
    rule("link_down", Injection::Fault(Fault::LinkDown), &[FaultKind::LinkDown]),
    rule("vanished", Injection::Fault(Fault::Vanished), &[FaultKind::MetricVanished]),
    // A fan that stands still for 10 s: a controller reads 0 while it starts one.
    Case {
        whom: Whom::Fan,
        shows: Shows::OverTime,
        ..rule("fan_stop", Injection::Fault(Fault::FanStop), &[FaultKind::FanSlow])
    },
    Case {
        lead: 2700,
        ..slow("link_errors", Fault::LinkErrors, &[FaultKind::LinkErrors, FaultKind::ErrorsRising])
    },
    Case {
        lead: 2700,
        ..slow("pcie_replays", Fault::PcieReplays, &[FaultKind::PcieReplays, FaultKind::ErrorsRising])
    },
    slow("pcie_width", Fault::PcieWidth, &[FaultKind::PcieNarrow]),
    slow("power_brake", Fault::PowerBrake, &[FaultKind::PowerBrake]),
    slow("cooler", Fault::Cooler, &[FaultKind::ThermalSlowdown, FaultKind::CoolingPoor]),
    slow("stuck_sensor", Fault::StuckSensor, &[FaultKind::SensorFrozen]),
    Case { lead: 2700, ..slow("ecc_corrected", Fault::EccCorrected, &[FaultKind::ErrorsRising]) },
    Case { whom: Whom::Source, ..slow("slow_answers", Fault::SlowAnswers, &[FaultKind::AnswersSlowly]) },
    hidden("straggler", Fault::Straggler, &[FaultKind::Straggler]),
    hidden("down_clock", Fault::DownClock, &[FaultKind::ClockLow]),
    Case { beats: 3600, ..hidden("memory_leak", Fault::MemoryLeak, &[FaultKind::MemoryLeak]) },
    hidden("bad_seat", Fault::BadSeat, &[FaultKind::CoolingPoor]),
    Case { whom: Whom::Node, beats: 3600, ..hidden("host_leak", Fault::HostLeak, &[FaultKind::MemoryLeak]) },
    Case {
        whom: Whom::Group,
        beats: 3600,
        ..hidden("group_leak", Fault::GroupLeak, &[FaultKind::MemoryLeak])
    },
    never("cache_fills", Fault::CacheFills, &[FaultKind::MemoryLeak]),
    never("pool_fills", Fault::PoolFills, &[FaultKind::MemoryLeak]),
    days("heat_creep", Injection::Fault(Fault::HeatCreep), Shows::ToNoRule),
    days("heat_shared", Injection::Everywhere(Fault::HeatCreep), Shows::Never),
    Case { whom: Whom::Node, ..hidden("neighbour", Fault::Neighbour, &[FaultKind::HostStarved]) },
];
