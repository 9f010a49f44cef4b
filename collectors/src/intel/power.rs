//! The monitor of an Intel GPU: energy, limits, heat and fan, from Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon
//! and sysfs-driver-intel-i915-hwmon.
use crate::sysfs::Form::{Limit, Number};
use crate::sysfs::{Gauge, Row, gauges, monitor, word};
use model::{Calls, Metric};
use std::path::{Path, PathBuf};

/// The smallest limit that is offered, as a share of the rated power. Ours: the driver publishes no smallest one, and one
/// far below what the card draws at rest does nothing but throttle it to its lowest clock.
pub(super) const FLOOR_SHARE: f64 = 0.25;

/// What is measured: the whole card, or the package on it. A card has one or both.
pub(super) struct Channel {
    label: &'static str,
    /// Energy in microjoules.
    pub(super) energy: &'static str,
    /// The sustained limit (PL1) in microwatts; 0 is no limit.
    pub(super) limit: &'static str,
    /// The rated power, which is the default limit, in microwatts.
    pub(super) rated: &'static str,
}

const CHANNELS: [Channel; 2] = [
    Channel {
        label: "energy1_label",
        energy: "energy1_input",
        limit: "power1_max",
        rated: "power1_rated_max",
    },
    Channel {
        label: "energy2_label",
        energy: "energy2_input",
        limit: "power2_max",
        rated: "power2_rated_max",
    },
];

/// Of the monitor, on every beat.
const OFTEN: &[Row] = &[
    ("fan1_input", Metric::FanRpm, Number(1.0)),
    ("in0_input", Metric::Voltage, Number(1e-3)),
    ("in1_input", Metric::Voltage, Number(1e-3)),
];

/// A sensor's label, temperature, and limits.
const HEATS: [[&str; 4]; 3] = [
    ["temp1_label", "temp1_input", "temp1_crit", "temp1_emergency"],
    ["temp2_label", "temp2_input", "temp2_crit", "temp2_emergency"],
    ["temp3_label", "temp3_input", "temp3_crit", "temp3_emergency"],
];

/// The card's own monitor. i915 has further ones, of each part.
pub(super) fn hwmon(device: &Path) -> Option<PathBuf> {
    monitor(device, &["xe", "i915"])
}

/// What is read of the card: the channel of the whole card, else the first that is there.
pub(super) fn channel(folder: &Path) -> Option<&'static Channel> {
    let there =
        |channel: &&Channel| folder.join(channel.energy).exists() || folder.join(channel.limit).exists();
    let whole = |channel: &&Channel| word(folder.join(channel.label)) == "card";
    CHANNELS.iter().filter(there).find(whole).or_else(|| CHANNELS.iter().find(there))
}

/// Everything of the monitor that is in a file of its own: what is read often, and what is read seldom.
pub(super) fn found(folder: &Path, calls: &Calls, often: &mut Vec<Gauge>, seldom: &mut Vec<Gauge>) {
    gauges(OFTEN, folder, calls, often);
    if let Some(channel) = channel(folder) {
        gauges(&[(channel.limit, Metric::PowerLimitEnforced, Limit(1e-6))], folder, calls, often);
        let rated: [Row; 3] = [
            (channel.rated, Metric::PowerLimitMax, Limit(1e-6)),
            (channel.rated, Metric::PowerLimitDefault, Limit(1e-6)),
            (channel.rated, Metric::PowerLimitMin, Limit(1e-6 * FLOOR_SHARE)),
        ];
        gauges(&rated, folder, calls, seldom);
    }
    let milli = Number(1e-3);
    for [label, input, critical, emergency] in HEATS {
        match word(folder.join(label)).as_str() {
            // i915 gives the package's temperature without a label.
            "pkg" | "" => {
                gauges(&[(input, Metric::Temperature, milli)], folder, calls, often);
                let limits = [
                    (critical, Metric::TemperatureSlowdown, milli),
                    (emergency, Metric::TemperatureShutdown, milli),
                ];
                gauges(&limits, folder, calls, seldom);
            }
            "vram" => {
                gauges(&[(input, Metric::TemperatureMemory, milli)], folder, calls, often);
                gauges(&[(critical, Metric::TemperatureMemoryMax, milli)], folder, calls, seldom);
            }
            _ => {}
        }
    }
}
