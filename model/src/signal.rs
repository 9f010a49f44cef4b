//! Signals: the numbers that autoscalers read.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an autoscaler may ask of one pool of this node. All values are finite; what is not known is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The pool: `gpu`, `npu`, or a name from the configuration.
    pub pool: String,
    /// Values by the name of the signal, see [`SIGNALS`].
    pub values: BTreeMap<String, f64>,
}

/// Every signal with its meaning.
pub const SIGNALS: &[(&str, &str)] = &[
    ("devices", "Accelerators of the pool that are there."),
    (
        "capacity",
        "Accelerators of the pool that can take work: there, answering, and without a critical event.",
    ),
    ("demand_ratio", "Mean compute utilisation over the devices that can take work, 0 to 1."),
    ("headroom_ratio", "One minus the demand, 0 to 1."),
    ("memory_used_ratio", "Device memory in use over the devices that can take work, 0 to 1."),
    ("power_headroom_watts", "Budget minus node power as the budget counts it; negative when over."),
    (
        "power_feasible",
        "Whether the power budget can be held at all: 0 when it is below the sum of all floors.",
    ),
    ("power_limited_ratio", "Share of the devices whose enforced limit is below their default."),
    ("health_ratio", "Share of the pool's devices that are healthy, 0 to 1; unknown is not healthy."),
];
