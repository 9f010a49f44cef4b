//! What each vendor's driver says of a board, and what it does not have: the gaps of the real sources, not zeros.
use crate::board::{Board, reason};
use crate::fault::Fault;
use crate::node::numa;
use model::{DeviceKind, Metric, Vendor};
use std::ops::RangeInclusive;

/// The call that reads most of a board, as its vendor names it.
pub(super) fn call(board: &Board) -> &'static str {
    match (board.profile().vendor, board.profile().kind) {
        (Vendor::Amd, _) => "read gpu_metrics",
        (Vendor::Intel, DeviceKind::Npu) => "hlml_device_get_utilization_rates",
        (Vendor::Intel, _) => "read energy1_input",
        (Vendor::Huawei, _) => "dcmi_get_device_power_info",
        _ => "nvmlDeviceGetFieldValues",
    }
}

/// What amdgpu has no file for.
const NOT_AMD: &[RangeInclusive<Metric>] = &[
    one(Metric::EncoderUtilization),
    one(Metric::DecoderUtilization),
    one(Metric::PowerAverage),
    Metric::MemoryReserved..=Metric::DramActive,
    one(Metric::TemperatureShutdown),
    Metric::EventIdle..=Metric::EventAppClocks,
    one(Metric::EventSyncBoost),
    Metric::ViolationPower..=Metric::ViolationBaseClocks,
    Metric::EccCorrectedAggregate..=Metric::EccUncorrectedAggregate,
    Metric::RowsRemappedCorrectable..=Metric::ErrorLastCode,
    Metric::PersistenceMode..=Metric::FabricStatus,
    Metric::XidErrors..=Metric::XidLastCode,
    one(Metric::PerformanceState),
    one(Metric::ClockVideo),
];

/// What xe has no file for.
const NOT_INTEL: &[RangeInclusive<Metric>] = &[
    one(Metric::EncoderUtilization),
    one(Metric::DecoderUtilization),
    one(Metric::MemoryActivity),
    one(Metric::PowerAverage),
    Metric::MemoryReserved..=Metric::LinkTransmit,
    one(Metric::ClockVideo),
    one(Metric::ClockMemory),
    one(Metric::ClockMemoryMax),
    Metric::TemperatureSlowdown..=Metric::TemperatureMemoryMax,
    Metric::EventIdle..=Metric::EventAppClocks,
    one(Metric::EventSyncBoost),
    Metric::ViolationPower..=Metric::ViolationBaseClocks,
    Metric::EccCorrectedVolatile..=Metric::LinkErrorsOther,
    one(Metric::PcieReplays),
    Metric::XidErrors..=Metric::XidLastCode,
    one(Metric::PerformanceState),
];

/// What HLML has no call for.
const NOT_GAUDI: &[RangeInclusive<Metric>] = &[
    one(Metric::EncoderUtilization),
    one(Metric::DecoderUtilization),
    one(Metric::MemoryActivity),
    one(Metric::PowerAverage),
    Metric::MemoryReserved..=Metric::DramActive,
    Metric::LinkReceive..=Metric::LinkTransmit,
    one(Metric::ClockVideo),
    Metric::ClockMemory..=Metric::ClockMemory,
    one(Metric::ClockMemoryMax),
    Metric::EventIdle..=Metric::EventAppClocks,
    one(Metric::EventSyncBoost),
    Metric::ViolationPower..=Metric::ViolationBaseClocks,
    Metric::PowerLimitRequested..=Metric::PowerLimitMax,
    Metric::EccCorrectedAggregate..=Metric::EccUncorrectedAggregate,
    one(Metric::RecoveryAction),
    Metric::PersistenceMode..=Metric::FabricStatus,
    Metric::XidErrors..=Metric::XidLastCode,
    one(Metric::PerformanceState),
];

/// What DCMI has no call for.
const NOT_ASCEND: &[RangeInclusive<Metric>] = &[
    one(Metric::EncoderUtilization),
    one(Metric::DecoderUtilization),
    one(Metric::MemoryActivity),
    one(Metric::PowerAverage),
    Metric::MemoryReserved..=Metric::SmOccupancy,
    Metric::PcieReceive..=Metric::LinkTransmit,
    one(Metric::Energy),
    one(Metric::ClockVideo),
    one(Metric::ClockMemoryMax),
    Metric::TemperatureSlowdown..=Metric::TemperatureMemoryMax,
    Metric::EventIdle..=Metric::PowerLimitDefault,
    Metric::EccCorrectedAggregate..=Metric::EccUncorrectedAggregate,
    Metric::RowsRemappedCorrectable..=Metric::RecoveryAction,
    Metric::PersistenceMode..=Metric::LinkErrorsOther,
    one(Metric::PcieReplays),
    Metric::XidErrors..=Metric::XidLastCode,
    one(Metric::PerformanceState),
];

const fn one(metric: Metric) -> RangeInclusive<Metric> {
    metric..=metric
}

fn lacks(board: &Board) -> &'static [RangeInclusive<Metric>] {
    match (board.profile().vendor, board.profile().kind) {
        (Vendor::Amd, _) => NOT_AMD,
        (Vendor::Intel, DeviceKind::Npu) => NOT_GAUDI,
        (Vendor::Intel, _) => NOT_INTEL,
        (Vendor::Huawei, _) => NOT_ASCEND,
        _ => &[],
    }
}

/// Hands over what the board's own driver would say of it, in base units.
pub(super) fn read(board: &Board, mut put: impl FnMut(Metric, f64)) {
    let lacks = lacks(board);
    let mut say = |metric: Metric, value: f64| {
        if !lacks.iter().any(|range| range.contains(&metric)) {
            put(metric, value);
        }
    };
    events(board, &mut say);
    use_of(board, &mut say);
    power(board, &mut say);
    heat(board, &mut say);
    errors(board, &mut say);
    profile(board, &mut say);
    match board.profile().kind {
        DeviceKind::Npu => {
            say(Metric::HealthCode, 0.0);
            say(Metric::ErrorCodes, 0.0);
        }
        _ => say(Metric::NumaNode, numa(board.index) as f64),
    }
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn events(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let reasons = [
        (Metric::EventIdle, reason::IDLE),
        (Metric::EventSwPowerCap, reason::SW_POWER_CAP),
        (Metric::EventHwSlowdown, reason::HW_SLOWDOWN),
        (Metric::EventHwThermal, reason::HW_THERMAL),
        (Metric::EventPowerBrake, reason::HW_POWER_BRAKE),
    ];
    for (metric, bit) in reasons {
        say(metric, flag(board.reasons & bit != 0));
    }
    // The engine has no application clocks, no boost groups, and lets the hardware alone act on heat.
    for metric in [Metric::EventAppClocks, Metric::EventSyncBoost, Metric::EventSwThermal] {
        say(metric, 0.0);
    }
    say(Metric::Up, 1.0);
}

fn use_of(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let profile = board.profile();
    say(Metric::Utilization, board.busy);
    say(Metric::EncoderUtilization, 0.0);
    say(Metric::DecoderUtilization, 0.0);
    say(Metric::MemoryActivity, board.memory_activity);
    // Sizes are far below 2^53, so the conversions are exact.
    say(Metric::MemoryUsed, board.memory_used_bytes as f64);
    say(Metric::MemorySize, profile.memory_bytes as f64);
}

fn power(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let profile = board.profile();
    say(Metric::PowerInstant, board.sensor.instant_w());
    say(Metric::PowerAverage, board.sensor.average_w());
    say(Metric::Energy, board.energy_j);
    say(Metric::PowerLimitRequested, board.requested_w);
    say(Metric::PowerLimitEnforced, board.enforced().0);
    say(Metric::PowerLimitMin, profile.limit_min.0);
    say(Metric::PowerLimitMax, profile.limit_max.0);
    say(Metric::PowerLimitDefault, profile.limit_max.0);
    say(Metric::ClockSm, board.clock_hz);
    say(Metric::ClockSmMax, profile.clock_max_hz);
    say(Metric::ClockVideo, board.clock_hz);
    say(Metric::ClockMemory, profile.memory_clock_hz);
    say(Metric::ClockMemoryMax, profile.memory_clock_hz);
    say(Metric::PerformanceState, 0.0);
}

fn heat(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let profile = board.profile();
    // Drivers give whole degrees.
    let whole = board.temperature_c.round();
    say(Metric::Temperature, whole);
    if !board.has(Fault::Vanished) {
        say(Metric::TemperatureMemory, board.memory_temperature_c().round());
    }
    say(Metric::TemperatureSlowdown, profile.slowdown_c);
    say(Metric::TemperatureShutdown, profile.shutdown_c);
    say(Metric::TemperatureMemoryMax, profile.memory_max_c);
    say(Metric::TemperatureMargin, profile.slowdown_c - whole);
}

fn errors(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let profile = board.profile();
    // Counts are far below 2^53, so the conversions are exact.
    let [corrected, uncorrected] = board.ecc.map(|count| count as f64);
    say(Metric::EccCorrectedVolatile, corrected);
    say(Metric::EccUncorrectedVolatile, uncorrected);
    say(Metric::EccCorrectedAggregate, corrected);
    say(Metric::EccUncorrectedAggregate, uncorrected);
    say(Metric::EccCorrectedMemory, corrected);
    say(Metric::EccUncorrectedMemory, uncorrected);
    say(Metric::RowsRemappedCorrectable, 0.0);
    say(Metric::RowsRemappedUncorrectable, 0.0);
    say(Metric::RowRemapPending, flag(board.has(Fault::RemapPending)));
    say(Metric::RowRemapFailed, flag(board.has(Fault::RemapFailed)));
    say(Metric::RecoveryAction, 0.0);
    say(Metric::PcieGeneration, f64::from(profile.pcie_generation));
    say(Metric::PcieGenerationMax, f64::from(profile.pcie_generation));
    say(Metric::PcieWidth, f64::from(board.pcie_lanes()));
    say(Metric::PcieWidthMax, f64::from(profile.pcie_lanes));
    say(Metric::PcieReplays, board.replays as f64);
    say(Metric::XidErrors, board.xids as f64);
    if board.xids > 0 {
        say(Metric::XidLastCode, f64::from(board.xid_codes[((board.xids - 1) % 16) as usize]));
    }
}

/// Links to other boards of an H100 or A100 and what came of them.
fn links(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let links = if board.profile().short == "h100" { 18.0 } else { 12.0 };
    say(Metric::Links, links);
    say(Metric::LinksUp, links - flag(board.has(Fault::LinkDown)));
    // Counts are far below 2^53, so the conversion is exact.
    say(Metric::LinkErrorsReplay, board.wear.link_errors as f64);
    say(Metric::LinkErrorsCrc, 0.0);
    say(Metric::LinkErrorsRecovery, 0.0);
}

/// Profiling counters. The engine has few pipes of its own: the others follow from what it does have. An assumption.
fn profile(board: &Board, say: &mut impl FnMut(Metric, f64)) {
    let active = board.sm_active;
    say(Metric::GraphicsActive, board.busy);
    say(Metric::SmActive, active);
    say(Metric::SmOccupancy, active * 0.45);
    say(Metric::TensorActive, board.tensor_active);
    say(Metric::Fp16Active, active * 0.12);
    say(Metric::Fp32Active, active * 0.08);
    say(Metric::Fp64Active, 0.0);
    say(Metric::DramActive, board.memory_activity);
    let [host, link] = board.moved;
    say(Metric::PcieReceive, host);
    say(Metric::PcieTransmit, host * 0.4);
    // Boards of a training job exchange gradients; inference on one board does not.
    say(Metric::LinkReceive, link);
    say(Metric::LinkTransmit, link);
    if board.profile().vendor == Vendor::Nvidia {
        links(board, say);
    }
}
