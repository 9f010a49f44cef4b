//! Faults of the node and what it shares as causes: power, fans, memory, network, the kernel; and the statistics. Places are ours.
use super::board::SWITCHED;
use super::xid::AFTERMATH;
use super::{Reach, Row, SLOW_LEAD_S, Sign, USUAL};
use model::FaultKind as F;

const fn any(fault: F) -> Sign {
    Sign::any(fault)
}

pub(super) const ROWS: &[Row] = &[
    Row {
        sign: any(F::PowerSupply),
        rank: 96,
        stated: true,
        explains: &[
            any(F::PowerBrake),
            any(F::ClockLow),
            any(F::Straggler),
            any(F::DeviceLost),
            any(F::Residual),
            Sign::xid(&[79]),
        ],
        reach: Reach::Node,
        sentence: "A power supply fails, so that less power is there than the node needs.",
        confirm: "The supply's own light or log (the BMC's), and whether its feed is live.",
        ..USUAL
    },
    Row {
        sign: any(F::PowerBrake),
        rank: 56,
        stated: true,
        explains: &[any(F::ClockLow), any(F::Straggler), any(F::Residual)],
        together_s: 30.0,
        sentence: "An external brake, or the hardware itself, lowers the clocks for want of power.",
        confirm: "The BMC's log of power supplies, and whether the rack's power controller braked at that time.",
        ..USUAL
    },
    Row {
        sign: any(F::FanSlow),
        rank: 80,
        stated: true,
        explains: &[
            any(F::CoolingPoor),
            any(F::HeatCreep),
            any(F::ThermalSlowdown),
            any(F::ClockLow),
            any(F::Straggler),
            any(F::Residual),
        ],
        reach: Reach::Node,
        lead_s: SLOW_LEAD_S,
        sentence: "A fan stands still or turns far too slowly, so that what it cools grows hot.",
        confirm: "The fan can be seen or heard to fail, or its speed in the BMC agrees; devices behind it cool down once it is replaced.",
        ..USUAL
    },
    Row {
        sign: any(F::MachineCheck),
        rank: 89,
        stated: true,
        explains: &[any(F::PcieAer), any(F::Residual)],
        reach: Reach::Node,
        sentence: "The processor, its memory or a bus reported a hardware error.",
        confirm: "The kernel log or rasdaemon names bank and address; a repeat at the same place is a bad part.",
        ..USUAL
    },
    Row {
        sign: any(F::PcieAer),
        rank: 75,
        stated: true,
        explains: &[
            any(F::PcieReplays),
            any(F::PcieNarrow),
            any(F::DeviceLost),
            any(F::SourceHung),
            any(F::Residual),
        ],
        sentence: "The PCIe link of the device reported errors.",
        confirm: "The kernel log names the port and the kind; they stop after reseating, or follow the board into another slot.",
        ..USUAL
    },
    Row {
        sign: any(F::Sxid),
        rank: 94,
        stated: true,
        explains: SWITCHED,
        reach: Reach::Everything,
        together_s: 5.0,
        sentence: "A switch between the GPUs (NVSwitch) failed.",
        confirm: "The fabric manager's log names the switch and the port; GPUs on both sides of it report link errors.",
        ..USUAL
    },
    Row {
        sign: any(F::MemoryLeak),
        rank: 73,
        explains: &[any(F::OutOfMemory)],
        reach: Reach::Node,
        window_s: SLOW_LEAD_S,
        sentence: "A process takes ever more memory and gives none back.",
        confirm: "One process's memory grows with it; after its restart memory is free again.",
        ..USUAL
    },
    Row {
        sign: any(F::OutOfMemory),
        rank: 71,
        stated: true,
        explains: &[any(F::Residual), AFTERMATH],
        reach: Reach::Everything,
        sentence: "Memory ran out and the kernel killed a process.",
        confirm: "The kernel log names the process and who had the memory.",
        ..USUAL
    },
    Row {
        sign: any(F::ProcessStuck),
        rank: 50,
        stated: true,
        explains: &[any(F::Residual)],
        reach: Reach::Node,
        sentence: "A process waits in the kernel and cannot be ended.",
        confirm: "Its state is D and its kernel stack names the driver or file system that it waits for.",
        ..USUAL
    },
    Row {
        sign: any(F::PortFlapping),
        rank: 55,
        stated: true,
        explains: &[any(F::PortDown), any(F::Straggler), any(F::Residual)],
        reach: Reach::Everything,
        sentence: "A network port goes down and comes back again and again: cable, transceiver or switch port.",
        confirm: "It stops with another cable or transceiver, or on another switch port.",
        ..USUAL
    },
    Row {
        sign: any(F::PortDown),
        rank: 53,
        stated: true,
        explains: &[any(F::Straggler), any(F::Residual)],
        reach: Reach::Everything,
        together_s: 30.0,
        sentence: "A network port that was active is down.",
        confirm: "The switch shows its end down too; if several ports went at once, the switch or the subnet manager is suspect.",
        ..USUAL
    },
    Row {
        sign: any(F::HostStarved),
        rank: 26,
        statistic: true,
        explains: &[any(F::Straggler), any(F::Residual)],
        sentence: "Accelerators wait for the host: their work comes late while processors are contended for.",
        confirm: "CPU pressure of the node and of the job's control group; who else runs on the job's cores.",
        ..USUAL
    },
    Row {
        sign: any(F::Interference),
        rank: 24,
        statistic: true,
        explains: &[any(F::Residual)],
        sentence: "A workload is slower than it is alone: neighbours take what both need.",
        confirm: "`wattkeeper top`, page of workloads: resource and culprit; the slowdown ends when the culprit is stopped or moved.",
        ..USUAL
    },
    Row {
        sign: any(F::Residual),
        rank: 2,
        statistic: true,
        sentence: "Counters no longer move together as they used to, and no rule says why: unexplained.",
        confirm: "The counters listed as evidence, beside those of a sibling under like load.",
        ..USUAL
    },
];
