//! Files of an amdgpu card and what they hold, from the kernel's Documentation/gpu/amdgpu/thermal.rst and driver-misc.rst.
use crate::sysfs::Form::{Clocks, Number};
use crate::sysfs::Row;
use model::Metric;

/// Of the device, on every beat.
pub(super) const DEVICE: &[Row] = &[
    ("gpu_busy_percent", Metric::Utilization, Number(0.01)),
    ("mem_busy_percent", Metric::MemoryActivity, Number(0.01)),
    ("vcn_busy_percent", Metric::DecoderUtilization, Number(0.01)),
    ("mem_info_vram_used", Metric::MemoryUsed, Number(1.0)),
    ("mem_info_vis_vram_used", Metric::Bar1Used, Number(1.0)),
];

/// Of the device, seldom.
pub(super) const DEVICE_SELDOM: &[Row] = &[
    ("mem_info_vram_total", Metric::MemorySize, Number(1.0)),
    ("mem_info_vis_vram_total", Metric::Bar1Size, Number(1.0)),
    ("pcie_replay_count", Metric::PcieReplays, Number(1.0)),
    ("pp_dpm_sclk", Metric::ClockSmMax, Clocks),
    ("pp_dpm_mclk", Metric::ClockMemoryMax, Clocks),
];

/// Of the monitor, on every beat. A card has the average, the present power, or both.
pub(super) const MONITOR: &[Row] = &[
    ("power1_input", Metric::PowerInstant, Number(1e-6)),
    ("power1_average", Metric::PowerAverage, Number(1e-6)),
    ("power1_cap", Metric::PowerLimitEnforced, Number(1e-6)),
    ("fan1_input", Metric::FanRpm, Number(1.0)),
    ("pwm1", Metric::FanSpeed, Number(1.0 / 255.0)),
    ("freq1_input", Metric::ClockSm, Number(1.0)),
    ("freq2_input", Metric::ClockMemory, Number(1.0)),
    ("in0_input", Metric::Voltage, Number(1e-3)),
];

/// Of the monitor, seldom.
pub(super) const MONITOR_SELDOM: &[Row] = &[
    ("power1_cap_min", Metric::PowerLimitMin, Number(1e-6)),
    ("power1_cap_max", Metric::PowerLimitMax, Number(1e-6)),
    ("power1_cap_default", Metric::PowerLimitDefault, Number(1e-6)),
];

/// One sensor of the monitor: its label's file, its temperature, and the limits beside it.
pub(super) struct Heat {
    /// The file of the label.
    pub(super) label: &'static str,
    /// The file of the temperature.
    pub(super) input: &'static str,
    /// The file of the critical temperature, at which the card slows down.
    pub(super) critical: &'static str,
    /// The file of the temperature at which it shuts down.
    pub(super) emergency: &'static str,
}

/// Every sensor. Which is which, the label says: products without an edge sensor number the others from 2.
pub(super) const HEATS: [Heat; 3] = [
    Heat { label: "temp1_label", input: "temp1_input", critical: "temp1_crit", emergency: "temp1_emergency" },
    Heat { label: "temp2_label", input: "temp2_input", critical: "temp2_crit", emergency: "temp2_emergency" },
    Heat { label: "temp3_label", input: "temp3_input", critical: "temp3_crit", emergency: "temp3_emergency" },
];

/// A temperature's metric by its label.
pub(super) fn heat_metric(label: &str) -> Option<Metric> {
    match label {
        "edge" => Some(Metric::Temperature),
        "junction" => Some(Metric::TemperatureHotspot),
        "mem" => Some(Metric::TemperatureMemory),
        _ => None,
    }
}
