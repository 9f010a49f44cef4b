//! Findings and events: what detectors see on a beat, and the life that makes an event of it.
use crate::catalogue::Metric;
use crate::clock::Timestamp;
use crate::device::DeviceId;
use serde::{Deserialize, Serialize};

/// The most pieces of evidence an event carries.
pub const EVIDENCE_MAX: usize = 4;

macro_rules! faults {
    ($( $(#[$doc:meta])* $fault:ident $label:literal $title:literal $remedy:literal ; )+) => {
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

            /// What an operator should do.
            pub const fn remedy(self) -> &'static str {
                match self { $( Self::$fault => $remedy, )+ }
            }
        }
    };
}

faults! {
    /// The driver reported an XID error; the event's code is its number.
    Xid "xid" "XID error" "Follow the XID's action: restart the application, reset the GPU, or drain and reboot the node.";
    /// A device that was there no longer answers or is no longer listed.
    DeviceLost "device_lost" "Device lost" "Drain the node and reboot it; if the device does not return, have it inspected.";
    /// A call into a driver or library has not returned.
    SourceHung "source_hung" "Driver call does not return" "Check the kernel log for a hung driver; drain the node before restarting the driver.";
    /// The device reports an error code of its own; the event's code is the vendor's.
    DeviceFault "device_fault" "Device error code" "Look the code up in the vendor's list; drain the node if the device's own health is bad.";
    /// After a hang or a loss the device is not what it was before.
    DeviceChanged "device_changed" "Device changed" "Check whether board, firmware, driver or slot were changed on purpose; compare the device's attributes.";
    /// Two devices give one identity, so only the first is read.
    DuplicateIdentity "duplicate_identity" "Identity given twice" "Power-cycle the node; if two devices still give one identity, have the boards inspected.";
    /// The device lowers its clocks for heat.
    ThermalSlowdown "thermal_slowdown" "Thermal slowdown" "Check inlet temperature, fans and the cooler's seat.";
    /// An external brake or the hardware lowers clocks for want of power.
    PowerBrake "power_brake" "Power brake" "Check power supplies and the rack's power controller.";
    /// A memory error that ECC could not correct.
    EccUncorrectable "ecc_uncorrectable" "Uncorrectable memory error" "Drain the device and reset it; repeated errors call for replacement.";
    /// The PCIe link is narrower or slower than device and slot allow, under load.
    PcieNarrow "pcie_narrow" "PCIe link narrow" "Reseat the board or riser and check the slot; compare with its neighbours.";
    /// The device's counters no longer move together the way they used to.
    Residual "residual" "Unusual behaviour" "Look at the counters listed as evidence and at what changed at that time.";
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

    /// A few words for a screen, with the code or the detail where there is one.
    pub fn title(&self) -> String {
        let title = self.fault.title();
        match (self.code, &*self.detail) {
            (0, "") => title.to_owned(),
            (0, detail) => format!("{title}: {detail}"),
            (code, _) => format!("{title} {code}"),
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
