//! Remedies: what is to be done about a fault, in words that other tools can take.
use serde::{Deserialize, Serialize};

/// What is to be done. The order is that of escalation: a later one asks for more.
///
/// [`Remedy::nvsentinel`] and [`Remedy::gpud`] give the words of two tools that act on such reports (`RecommendedAction` of
/// NVIDIA's NVSentinel and `RepairActionType` of leptonai's gpud).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Nothing: it is worth knowing only.
    #[default]
    None,
    /// Look at the evidence and at what changed; no machine can decide this one.
    Investigate,
    /// Restart the application that ran into it.
    RestartApplication,
    /// Reset the device; work on it is lost, the node's other devices go on.
    ResetDevice,
    /// Drain the node, then reset the device.
    DrainAndReset,
    /// Drain and reboot the node.
    RebootNode,
    /// Run the vendor's diagnostics on the device.
    RunDiagnostics,
    /// Have the hardware looked at: seat, cables, cooling, power.
    InspectHardware,
    /// Ask the vendor for support or a replacement.
    ContactSupport,
}

impl Remedy {
    /// Every remedy, mildest first.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Investigate,
        Self::RestartApplication,
        Self::ResetDevice,
        Self::DrainAndReset,
        Self::RebootNode,
        Self::RunDiagnostics,
        Self::InspectHardware,
        Self::ContactSupport,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Investigate => "investigate",
            Self::RestartApplication => "restart_application",
            Self::ResetDevice => "reset_device",
            Self::DrainAndReset => "drain_and_reset",
            Self::RebootNode => "reboot_node",
            Self::RunDiagnostics => "run_diagnostics",
            Self::InspectHardware => "inspect_hardware",
            Self::ContactSupport => "contact_support",
        }
    }

    /// The remedy with this label.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|remedy| remedy.as_str() == name)
    }

    /// What it asks for, in a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::None => "Nothing needs to be done.",
            Self::Investigate => "Look at the evidence and at what changed at that time.",
            Self::RestartApplication => "Restart the application.",
            Self::ResetDevice => "Reset the device; the work on it is lost, the node's other devices go on.",
            Self::DrainAndReset => "Drain the node, then reset the device.",
            Self::RebootNode => "Drain the node and reboot it.",
            Self::RunDiagnostics => "Drain the node and run the vendor's diagnostics on the device.",
            Self::InspectHardware => {
                "Drain the node and have the hardware looked at: seat, cables, cooling, power."
            }
            Self::ContactSupport => "Drain the device and ask the vendor for support or a replacement.",
        }
    }

    /// NVSentinel's word. It has none for an application's restart or an investigation; those are `CUSTOM`.
    pub const fn nvsentinel(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Investigate | Self::RestartApplication => "CUSTOM",
            Self::ResetDevice | Self::DrainAndReset => "COMPONENT_RESET",
            Self::RebootNode => "RESTART_BM",
            Self::RunDiagnostics => "RUN_FIELDDIAG",
            Self::InspectHardware | Self::ContactSupport => "CONTACT_SUPPORT",
        }
    }

    /// gpud's word. It resets a device by rebooting the system.
    pub const fn gpud(self) -> &'static str {
        match self {
            Self::None => "IGNORE_NO_ACTION_REQUIRED",
            Self::Investigate | Self::RestartApplication => "CHECK_USER_APP_AND_GPU",
            Self::ResetDevice | Self::DrainAndReset | Self::RebootNode => "REBOOT_SYSTEM",
            Self::RunDiagnostics | Self::InspectHardware | Self::ContactSupport => "HARDWARE_INSPECTION",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remedy_has_a_label_of_its_own_and_stands_in_order() {
        assert!(Remedy::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for remedy in Remedy::ALL {
            assert_eq!(Remedy::named(remedy.as_str()), Some(remedy));
        }
    }
}
