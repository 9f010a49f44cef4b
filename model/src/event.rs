//! Findings and events: what detectors see on a beat, and the life that makes an event of it.
use crate::catalogue::Metric;
use crate::clock::Timestamp;
use crate::device::DeviceId;
use crate::remedy::Remedy;
use serde::{Deserialize, Serialize};

/// The most pieces of evidence an event carries.
pub const EVIDENCE_MAX: usize = 4;

macro_rules! faults {
    ($( $(#[$doc:meta])* $fault:ident $label:literal $title:literal $remedy:ident $advice:literal ; )+) => {
        /// What can be wrong. A closed set: the label of every event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FaultKind { $( $(#[$doc])* $fault, )+ }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$( Self::$fault, )+];

            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$fault => $label, )+ }
            }

            /// A few words for a screen.
            pub const fn title(self) -> &'static str {
                match self { $( Self::$fault => $title, )+ }
            }

            /// What is to be done, unless the finding says otherwise.
            pub const fn remedy(self) -> Remedy {
                match self { $( Self::$fault => Remedy::$remedy, )+ }
            }

            /// What an operator should do, in a sentence.
            pub const fn advice(self) -> &'static str {
                match self { $( Self::$fault => $advice, )+ }
            }
        }
    };
}

faults! {
    /// The driver reported an XID error; the event's code is its number.
    Xid "xid" "XID error" Investigate "Follow the XID's action: restart the application, reset the GPU, or drain and reboot the node.";
    /// A device that was there no longer answers or is no longer listed.
    DeviceLost "device_lost" "Device lost" RebootNode "Drain the node and reboot it; if the device does not return, have it inspected.";
    /// A call into a driver or library has not returned.
    SourceHung "source_hung" "Driver call does not return" RebootNode "Check the kernel log for a hung driver; drain the node before restarting the driver.";
    /// The device reports an error code of its own; the event's code is the vendor's.
    DeviceFault "device_fault" "Device error code" Investigate "Look the code up in the vendor's list; drain the node if the device's own health is bad.";
    /// The device's own verdict on its health is bad.
    HealthBad "health_bad" "Device calls itself unwell" RunDiagnostics "Drain the node and run the vendor's diagnostics.";
    /// The driver asks for a recovery action.
    RecoveryWanted "recovery_wanted" "Driver asks for recovery" ResetDevice "Do what the driver asks for: a reset, a drain, or a reboot of the node.";
    /// After a hang or a loss the device is not what it was before.
    DeviceChanged "device_changed" "Device changed" Investigate "Check whether board, firmware, driver or slot were changed on purpose; compare the device's attributes.";
    /// Two devices give one identity, so only the first is read.
    DuplicateIdentity "duplicate_identity" "Identity given twice" InspectHardware "Power-cycle the node; if two devices still give one identity, have the boards inspected.";
    /// The device lowers its clocks for heat.
    ThermalSlowdown "thermal_slowdown" "Thermal slowdown" InspectHardware "Check inlet temperature, fans and the cooler's seat.";
    /// An external brake or the hardware lowers clocks for want of power.
    PowerBrake "power_brake" "Power brake" InspectHardware "Check power supplies and the rack's power controller.";
    /// Clocks are low under load and no reason is given.
    ClockLow "clock_low" "Clock low without a reason" ResetDevice "Check for locked clocks and the performance state; reset the device if nobody set them.";
    /// A memory error that ECC could not correct.
    EccUncorrectable "ecc_uncorrectable" "Uncorrectable memory error" DrainAndReset "Drain the device and reset it; repeated errors call for replacement.";
    /// More uncorrectable errors in on-chip memory than a board should have.
    SramUncorrectable "sram_uncorrectable" "On-chip memory errors" ContactSupport "Drain the device and ask the vendor for a replacement.";
    /// The board's own memory of its settings and history fails its checksums.
    InforomCorrupt "inforom_corrupt" "InfoROM corrupt" ContactSupport "Reset the device; if the InfoROM stays corrupt, ask the vendor for a repair.";
    /// A row of device memory could not be replaced.
    RowRemapFailed "row_remap_failed" "Row remap failed" InspectHardware "Drain the device; it needs replacement.";
    /// A row or page of device memory waits for a reset to be taken out of use.
    RepairPending "repair_pending" "Memory repair pending" ResetDevice "Reset the device at the next pause between jobs.";
    /// So many rows or pages are out of use that few spares are left.
    SparesLow "spares_low" "Spare memory running out" ContactSupport "Plan the replacement of the board.";
    /// PCIe packets are sent again more often than the link's error rate allows.
    PcieReplays "pcie_replays" "PCIe replays" InspectHardware "Reseat the board or riser; compare with its neighbours.";
    /// The PCIe link is narrower or slower than device and slot allow, under load.
    PcieNarrow "pcie_narrow" "PCIe link narrow" InspectHardware "Reseat the board or riser and check the slot; compare with its neighbours.";
    /// A link between accelerators has errors.
    LinkErrors "link_errors" "Accelerator link errors" RunDiagnostics "Drain the node and run the vendor's diagnostics on the link; inspect cables and switches.";
    /// A link between accelerators is down.
    LinkDown "link_down" "Accelerator link down" InspectHardware "Reset the device; if the link stays down, inspect the board, cables and switches.";
    /// The device is not part of its fabric, so it cannot reach its peers.
    FabricDown "fabric_down" "Fabric not joined" Investigate "Check the fabric manager's state and log; restart it, then the application.";
    /// A process on the device cannot be ended: it waits in the kernel.
    ProcessStuck "process_stuck" "Process stuck in the kernel" RebootNode "Check the kernel log; a process stuck in a driver needs a reboot of the node.";
    /// A fan stands still or turns far slower than it should.
    FanSlow "fan_slow" "Fan failing" InspectHardware "Replace the fan.";
    /// A power supply has failed, or delivers nothing.
    PowerSupply "power_supply" "Power supply failing" InspectHardware "Replace the power supply; check its feed.";
    /// An InfiniBand port that was active is down.
    PortDown "port_down" "InfiniBand port down" InspectHardware "Check the cable, the switch port and the subnet manager.";
    /// An InfiniBand port goes down and comes back again and again.
    PortFlapping "port_flapping" "InfiniBand port flapping" InspectHardware "Replace the cable or transceiver; check the switch port.";
    /// An NVSwitch reported an SXid error; the event's code is its number.
    Sxid "sxid" "NVSwitch SXid error" RebootNode "Look the SXid up in the fabric manager's guide; drain and reboot the node for a fatal one.";
    /// The processor reported a machine check.
    MachineCheck "machine_check" "Machine check" InspectHardware "Read the kernel log for the bank and address; repeated ones call for hardware service.";
    /// The kernel reported a PCIe error (AER).
    PcieAer "pcie_aer" "PCIe error (AER)" InspectHardware "Find the device in the kernel log; reseat it; uncorrected errors call for a drain.";
    /// The kernel killed a process for want of memory.
    OutOfMemory "out_of_memory" "Out of memory" RestartApplication "Find who used the memory; raise the limit or move work.";
    /// A device that does the same work as its siblings gets less done.
    Straggler "straggler" "Slower than its siblings" RunDiagnostics "Compare the device with its siblings; run the vendor's diagnostics if it stays behind.";
    /// Accelerators wait for processors that others take.
    HostStarved "host_starved" "Accelerators wait for the host" Investigate "Find who takes the processors; pin or move it, or give the accelerators' jobs more.";
    /// A workload is slower than it is alone, because of others on the node.
    Interference "interference" "Slowed down by neighbours" Investigate "Look at who is named as culprit and at which resource; move one of both, or give each processors of its own.";
    /// The device runs hotter than its siblings at like power.
    CoolingPoor "cooling_poor" "Cooled worse than its siblings" InspectHardware "Check the cooler's seat, its fans and the air's way.";
    /// Memory in use grows and never levels off.
    MemoryLeak "memory_leak" "Memory grows without end" RestartApplication "Find the process that grows; restart it before memory is full.";
    /// Temperature at equal power creeps up over time.
    HeatCreep "heat_creep" "Heat at equal power creeps up" InspectHardware "Clean filters and coolers; check fans and thermal paste.";
    /// Corrected errors come faster and faster.
    ErrorsRising "errors_rising" "Errors come ever faster" RunDiagnostics "Plan diagnostics of the part before the errors become uncorrectable.";
    /// A quantity that was measured no longer is, while its device answers.
    MetricVanished "metric_vanished" "Quantity no longer measured" Investigate "Check the driver's version and rights; see wattkeeper doctor.";
    /// A sensor repeats one value while everything around it moves.
    SensorFrozen "sensor_frozen" "Sensor frozen" ResetDevice "Do not trust the reading; reset the device at the next pause.";
    /// The driver takes ever longer to answer.
    AnswersSlowly "answers_slowly" "Driver answers ever more slowly" Investigate "Check the kernel log; a driver that slows down may hang next.";
    /// The device's counters no longer move together the way they used to.
    Residual "residual" "Unusual behaviour" Investigate "Look at the counters listed as evidence and at what changed at that time.";
}

impl FaultKind {
    /// What an operator should do, in a sentence, where this remedy was decided on. The fault's own advice goes with its own
    /// remedy, and stands where the remedy is not known ([`Remedy::None`]).
    pub fn advice_with(self, remedy: Remedy) -> &'static str {
        // These faults have many remedies, so their own sentence says only where to look.
        let many = matches!(self, Self::Xid | Self::Sxid | Self::DeviceFault | Self::RecoveryWanted);
        match remedy {
            Remedy::None => self.advice(),
            Remedy::Investigate if many => self.advice(),
            _ if many || remedy != self.remedy() => remedy.sentence(),
            _ => self.advice(),
        }
    }
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; the device works.
    Info,
    /// The device works worse than it should.
    Warning,
    /// The device does not work or its results cannot be trusted.
    Critical,
}

impl Severity {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One series that speaks for an event: what was seen and what was expected, in the metric's unit (a counter's in its
/// unit per second).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which metric of the event's device.
    pub metric: Metric,
    /// What was seen.
    pub observed: f64,
    /// What was expected: a model's prediction, or the rule's threshold.
    pub expected: f64,
}

/// What a detector sees on one beat. It says so on every beat on which it sees it; the life cycle makes events of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Which detector.
    pub detector: &'static str,
    /// On which device.
    pub device: DeviceId,
    /// What is wrong.
    pub fault: FaultKind,
    /// A number that tells faults of one kind apart (the XID), 0 where there is none.
    pub code: u32,
    /// What the fault is about where the kind alone does not say: the driver call that hangs. Empty for nothing.
    pub detail: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is to be done about it.
    pub remedy: Remedy,
    /// How sure or how strong, 1 at the detector's own threshold.
    pub score: f64,
    /// What speaks for it, strongest first.
    pub evidence: [Option<Evidence>; EVIDENCE_MAX],
}

impl Finding {
    /// Makes the evidence array from a list, dropping what is past [`EVIDENCE_MAX`].
    pub fn evidence(list: &[Evidence]) -> [Option<Evidence>; EVIDENCE_MAX] {
        std::array::from_fn(|n| list.get(n).copied())
    }
}

/// The number of an event, rising from 1 in one run of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u64);

/// Where an event is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Became an event on this beat.
    Raised,
    /// Still true, or not yet gone for long enough.
    Held,
    /// Over.
    Cleared,
}

impl Phase {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Held => "held",
            Self::Cleared => "cleared",
        }
    }
}

/// Something wrong with a device, from its first sign to its end. Explains itself: the evidence is the alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub id: EventId,
    /// Which detector found it.
    pub detector: std::borrow::Cow<'static, str>,
    /// On which device.
    pub device: DeviceId,
    /// What is wrong.
    pub fault: FaultKind,
    /// A number that tells faults of one kind apart (the XID), 0 where there is none.
    pub code: u32,
    /// What the fault is about where the kind alone does not say; empty for nothing.
    #[serde(default)]
    pub detail: std::borrow::Cow<'static, str>,
    /// How bad; never falls while the event lasts.
    pub severity: Severity,
    /// What is to be done; never weaker than before while the event lasts.
    #[serde(default)]
    pub remedy: Remedy,
    /// Where it is in its life.
    pub phase: Phase,
    /// The first sign.
    pub since: Timestamp,
    /// The last beat on which it was seen.
    pub last: Timestamp,
    /// When it was over.
    pub cleared: Option<Timestamp>,
    /// How many beats saw it.
    pub count: u64,
    /// The highest score so far.
    pub score: f64,
    /// What spoke for it when its score was highest, strongest first.
    pub evidence: [Option<Evidence>; EVIDENCE_MAX],
}

impl Event {
    /// Whether it is raised or held.
    pub fn active(&self) -> bool {
        self.phase != Phase::Cleared
    }

    /// What an operator should do about it, in a sentence.
    pub fn advice(&self) -> &'static str {
        self.fault.advice_with(self.remedy)
    }

    /// A few words for a screen, with the code or the detail where there is one.
    pub fn title(&self) -> String {
        let title = self.fault.title();
        match (self.code, &*self.detail) {
            (0, "") => title.to_owned(),
            (0, detail) => format!("{title}: {detail}"),
            (code, "") => format!("{title} {code}"),
            (code, detail) => format!("{title} {code}: {detail}"),
        }
    }
}

/// The state of a device in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answers and nothing is wrong.
    Healthy,
    /// It works worse than it should.
    Degraded,
    /// It does not work.
    Faulty,
    /// It cannot be read, so nothing can be said. Never counted as healthy.
    Unknown,
}

impl Health {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Faulty => "faulty",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_remedy_that_was_decided_on() {
        for fault in FaultKind::ALL {
            assert_eq!(fault.advice_with(Remedy::None), fault.advice(), "{}", fault.as_str());
            let inspect = fault.advice_with(Remedy::InspectHardware);
            let own = fault.remedy() == Remedy::InspectHardware;
            let expected = if own { fault.advice() } else { Remedy::InspectHardware.sentence() };
            assert_eq!(inspect, expected, "{}", fault.as_str());
        }
        assert_eq!(FaultKind::Xid.advice_with(Remedy::Investigate), FaultKind::Xid.advice());
        assert_eq!(FaultKind::ClockLow.advice_with(Remedy::ResetDevice), FaultKind::ClockLow.advice());
    }
}
