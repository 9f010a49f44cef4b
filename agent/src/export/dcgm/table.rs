//! The table of DCGM's names: where each value comes from, and what it is called and measured in before and from 4.9 on.
use super::derive;
use model::metric::MetricKind::{self, Counter, Gauge};
use model::{DeviceId, Frame, Metric};

/// Where a row's value comes from, in our base unit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    /// A reading of the GPU, or of its partitions.
    Metric(Metric),
    /// Something made of readings of the GPU, or of its partitions.
    Made(fn(&Frame, DeviceId) -> Option<f64>),
    /// A reading of each NVLink, with the labels of a link.
    Link(Metric),
}

/// What becomes of a value when pods share the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// It describes the device as a whole: every pod's series repeats it.
    Repeat,
    /// Each pod has its share of the power.
    Power,
    /// Each pod has the energy accounted to it.
    Energy,
    /// Each pod has the memory that its processes hold.
    Memory,
    /// Each pod has its share of the compute time.
    Utilization,
}

/// How a value in our base unit becomes one in DCGM's.
///
/// The factor is always a whole number, multiplied or divided by, so that whole numbers come out whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// The unit is the same.
    Same,
    /// DCGM's unit is that much smaller.
    Times(f64),
    /// DCGM's unit is that much larger.
    Over(f64),
}

/// A whole number of DCGM's that was divided by a whole factor on its way is at most this far from whole, relatively:
/// three roundings of half a unit in the last place each.
const WHOLE_WITHIN: f64 = 2.0 * f64::EPSILON;

impl Scale {
    /// The value in DCGM's unit.
    pub(super) fn apply(self, value: f64) -> f64 {
        let scaled = match self {
            Self::Same => return value,
            Self::Times(factor) => value * factor,
            Self::Over(factor) => value / factor,
        };
        let whole = scaled.round();
        if (scaled - whole).abs() <= WHOLE_WITHIN * scaled.abs() { whole } else { scaled }
    }
}

/// What a row is called in one generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) scale: Scale,
    pub(super) help: &'static str,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) take: Take,
    pub(super) split: Split,
    /// Up to 4.8.
    pub(super) old: Face,
    /// From 4.9 on. The same as before where no other name is established.
    pub(super) new: Face,
}

const fn face(name: &'static str, kind: MetricKind, scale: Scale, help: &'static str) -> Face {
    Face { name, kind, scale, help }
}

const fn of(metric: Metric) -> Take {
    Take::Metric(metric)
}

/// One row a line: where from, how it is split, what it was called, and after the arrow what it is called from 4.9 on where
/// that is another name.
macro_rules! rows {
    (@new $old:expr ;) => { $old };
    (@new $old:expr ; $name:literal $kind:ident $scale:ident $help:literal) => { face($name, $kind, $scale, $help) };
    ($( $take:expr, $split:ident, $name:literal $kind:ident $scale:ident $help:literal
        $( => $new:literal $new_kind:ident $new_scale:ident $new_help:literal )? ; )+) => {
        /// Every row, in the order of DCGM's own default list, the rows that people add after it. Old and new names, units and
        /// types: NVIDIA's field reference of DCGM 4.7 and the release notes of its exporter 4.9. A vGPU licence is not known to
        /// wattkeeper, so that row is missing.
        pub(super) const ROWS: &[Row] = &[$( Row {
            take: $take,
            split: Split::$split,
            old: face($name, $kind, $scale, $help),
            new: rows!(@new face($name, $kind, $scale, $help); $($new $new_kind $new_scale $new_help)?),
        }, )+];
    };
}

use Scale::{Over, Same, Times};

const MEGA: Scale = Over(1e6);
const MEBI: Scale = Over(1_048_576.0);
const PERCENT: Scale = Times(100.0);
const MILLI: Scale = Times(1e3);
const NANO: Scale = Times(1e9);
/// The driver counts KiB per second. The old name divides them by 1000 and calls them MB per second, the new one
/// multiplies them by 1024, so from bytes per second the old one is 1024 * 1000 away.
const LINK_MEGA: Scale = Over(1_024_000.0);

rows! {
    of(Metric::ClockSm), Repeat, "DCGM_FI_DEV_SM_CLOCK" Gauge MEGA "Clock of the multiprocessors in MHz."
        => "DCGM_FI_DEV_SM_CLOCK_HERTZ" Gauge Same "Clock of the multiprocessors in Hz.";
    of(Metric::ClockMemory), Repeat, "DCGM_FI_DEV_MEM_CLOCK" Gauge MEGA "Clock of the memory in MHz."
        => "DCGM_FI_DEV_MEMORY_CLOCK_HERTZ" Gauge Same "Clock of the memory in Hz.";
    of(Metric::TemperatureMemory), Repeat, "DCGM_FI_DEV_MEMORY_TEMP" Gauge Same "Temperature of the memory in degrees Celsius."
        => "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS" Gauge Same "Temperature of the memory in degrees Celsius.";
    of(Metric::Temperature), Repeat, "DCGM_FI_DEV_GPU_TEMP" Gauge Same "Temperature of the GPU in degrees Celsius."
        => "DCGM_FI_DEV_GPU_TEMP_CELSIUS" Gauge Same "Temperature of the GPU in degrees Celsius.";
    Take::Made(derive::power), Power, "DCGM_FI_DEV_POWER_USAGE" Gauge Same "Power of the board in W."
        => "DCGM_FI_DEV_BOARD_POWER_WATTS" Gauge Same "Power of the board in W.";
    of(Metric::Energy), Energy, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" Counter MILLI "Energy since the driver was loaded in mJ."
        => "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL" Counter Same "Energy since the driver was loaded in J.";
    of(Metric::PcieReplays), Repeat, "DCGM_FI_DEV_PCIE_REPLAY_COUNTER" Counter Same "PCIe packets sent again."
        => "DCGM_FI_DEV_PCIE_REPLAY_TOTAL" Counter Same "PCIe packets sent again.";
    of(Metric::Utilization), Utilization, "DCGM_FI_DEV_GPU_UTIL" Gauge PERCENT "Share of time in which the GPU was busy in percent."
        => "DCGM_FI_DEV_GPU_UTIL_RATIO" Gauge Same "Share of time in which the GPU was busy, 0 to 1.";
    of(Metric::MemoryActivity), Repeat, "DCGM_FI_DEV_MEM_COPY_UTIL" Gauge PERCENT "Share of time in which memory was read or written in percent."
        => "DCGM_FI_DEV_MEMORY_UTIL_RATIO" Gauge Same "Share of time in which memory was read or written, 0 to 1.";
    of(Metric::EncoderUtilization), Repeat, "DCGM_FI_DEV_ENC_UTIL" Gauge PERCENT "Share of time in which the encoder was busy in percent."
        => "DCGM_FI_DEV_ENC_UTIL_RATIO" Gauge Same "Share of time in which the encoder was busy, 0 to 1.";
    of(Metric::DecoderUtilization), Repeat, "DCGM_FI_DEV_DEC_UTIL" Gauge PERCENT "Share of time in which the decoder was busy in percent."
        => "DCGM_FI_DEV_DEC_UTIL_RATIO" Gauge Same "Share of time in which the decoder was busy, 0 to 1.";
    Take::Made(derive::last_xid), Repeat, "DCGM_FI_DEV_XID_ERRORS" Gauge Same "Code of the last XID error, 0 when there was none; it does not clear."
        => "DCGM_FI_DEV_XID_ERROR" Gauge Same "Code of the last XID error, 0 when there was none; it does not clear.";
    Take::Made(derive::memory_free), Repeat, "DCGM_FI_DEV_FB_FREE" Gauge MEBI "Device memory that is free in MiB."
        => "DCGM_FI_DEV_FB_FREE_BYTES" Gauge Same "Device memory that is free in bytes.";
    of(Metric::MemoryUsed), Memory, "DCGM_FI_DEV_FB_USED" Gauge MEBI "Device memory in use in MiB."
        => "DCGM_FI_DEV_FB_USED_BYTES" Gauge Same "Device memory in use in bytes.";
    of(Metric::MemoryReserved), Repeat, "DCGM_FI_DEV_FB_RESERVED" Gauge MEBI "Device memory that the driver keeps for itself in MiB."
        => "DCGM_FI_DEV_FB_RESERVED_BYTES" Gauge Same "Device memory that the driver keeps for itself in bytes.";
    of(Metric::MemorySize), Repeat, "DCGM_FI_DEV_FB_TOTAL" Gauge MEBI "Device memory in all in MiB."
        => "DCGM_FI_DEV_FB_CAPACITY_BYTES" Gauge Same "Device memory in all in bytes.";
    of(Metric::RowsRemappedUncorrectable), Repeat, "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" Counter Same "Rows replaced for uncorrectable errors."
        => "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL" Counter Same "Rows replaced for uncorrectable errors.";
    of(Metric::RowsRemappedCorrectable), Repeat, "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS" Counter Same "Rows replaced for correctable errors."
        => "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL" Counter Same "Rows replaced for correctable errors.";
    of(Metric::RowRemapFailed), Repeat, "DCGM_FI_DEV_ROW_REMAP_FAILURE" Gauge Same "Whether a row could not be replaced."
        => "DCGM_FI_DEV_ROW_REMAP_FAILED" Gauge Same "Whether a row could not be replaced.";
    // A throughput, though the old name is typed as a counter; readers rely on the type as it is.
    Take::Made(derive::link_throughput), Repeat, "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL" Counter LINK_MEGA "Data moved over all NVLinks in MB/s, as a rate."
        => "DCGM_FI_DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND" Gauge Same "Data moved over all NVLinks in bytes per second.";
    of(Metric::GraphicsActive), Repeat, "DCGM_FI_PROF_GR_ENGINE_ACTIVE" Gauge Same "Share of time in which the graphics engine was busy, 0 to 1."
        => "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO" Gauge Same "Share of time in which the graphics engine was busy, 0 to 1.";
    of(Metric::TensorActive), Repeat, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" Gauge Same "Share of cycles in which the tensor pipe was busy, 0 to 1."
        => "DCGM_FI_PROF_TENSOR_UTIL_RATIO" Gauge Same "Share of cycles in which the tensor pipe was busy, 0 to 1.";
    of(Metric::DramActive), Repeat, "DCGM_FI_PROF_DRAM_ACTIVE" Gauge Same "Share of the memory's bandwidth that was used, 0 to 1."
        => "DCGM_FI_PROF_DRAM_UTIL_RATIO" Gauge Same "Share of the memory's bandwidth that was used, 0 to 1.";
    of(Metric::PcieTransmit), Repeat, "DCGM_FI_PROF_PCIE_TX_BYTES" Gauge Same "Data sent over PCIe in bytes per second.";
    of(Metric::PcieReceive), Repeat, "DCGM_FI_PROF_PCIE_RX_BYTES" Gauge Same "Data received over PCIe in bytes per second.";
    of(Metric::SmActive), Repeat, "DCGM_FI_PROF_SM_ACTIVE" Gauge Same "Share of cycles in which a multiprocessor had a warp, 0 to 1."
        => "DCGM_FI_PROF_SM_UTIL_RATIO" Gauge Same "Share of cycles in which a multiprocessor had a warp, 0 to 1.";
    of(Metric::SmOccupancy), Repeat, "DCGM_FI_PROF_SM_OCCUPANCY" Gauge Same "Share of places for warps that were taken, 0 to 1."
        => "DCGM_FI_PROF_SM_OCCUPANCY_RATIO" Gauge Same "Share of places for warps that were taken, 0 to 1.";
    of(Metric::Fp64Active), Repeat, "DCGM_FI_PROF_PIPE_FP64_ACTIVE" Gauge Same "Share of cycles in which the fp64 pipe was busy, 0 to 1."
        => "DCGM_FI_PROF_FP64_UTIL_RATIO" Gauge Same "Share of cycles in which the fp64 pipe was busy, 0 to 1.";
    of(Metric::Fp32Active), Repeat, "DCGM_FI_PROF_PIPE_FP32_ACTIVE" Gauge Same "Share of cycles in which the fp32 pipe was busy, 0 to 1."
        => "DCGM_FI_PROF_FP32_UTIL_RATIO" Gauge Same "Share of cycles in which the fp32 pipe was busy, 0 to 1.";
    of(Metric::Fp16Active), Repeat, "DCGM_FI_PROF_PIPE_FP16_ACTIVE" Gauge Same "Share of cycles in which the fp16 pipe was busy, 0 to 1."
        => "DCGM_FI_PROF_FP16_UTIL_RATIO" Gauge Same "Share of cycles in which the fp16 pipe was busy, 0 to 1.";
    of(Metric::LinkTransmit), Repeat, "DCGM_FI_PROF_NVLINK_TX_BYTES" Gauge Same "Data sent over NVLink in bytes per second.";
    of(Metric::LinkReceive), Repeat, "DCGM_FI_PROF_NVLINK_RX_BYTES" Gauge Same "Data received over NVLink in bytes per second.";
    of(Metric::ViolationPower), Repeat, "DCGM_FI_DEV_POWER_VIOLATION" Counter NANO "Time held below the asked clock for power in ns."
        => "DCGM_FI_DEV_GPU_POWER_THROTTLE_SECONDS_TOTAL" Counter Same "Time held below the asked clock for power in s.";
    of(Metric::ViolationThermal), Repeat, "DCGM_FI_DEV_THERMAL_VIOLATION" Counter NANO "Time held below the asked clock for heat in ns."
        => "DCGM_FI_DEV_GPU_THERMAL_THROTTLE_SECONDS_TOTAL" Counter Same "Time held below the asked clock for heat in s.";
    of(Metric::ViolationSyncBoost), Repeat, "DCGM_FI_DEV_SYNC_BOOST_VIOLATION" Counter NANO "Time held below the asked clock by sync boost in ns.";
    of(Metric::ViolationBoardLimit), Repeat, "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION" Counter NANO "Time held below the asked clock by the board's limit in ns.";
    of(Metric::ViolationLowUtilization), Repeat, "DCGM_FI_DEV_LOW_UTIL_VIOLATION" Counter NANO "Time held below the asked clock for want of work in ns.";
    of(Metric::ViolationReliability), Repeat, "DCGM_FI_DEV_RELIABILITY_VIOLATION" Counter NANO "Time held below the asked clock for reliability in ns.";
    of(Metric::ViolationAppClocks), Repeat, "DCGM_FI_DEV_TOTAL_APP_CLOCKS_VIOLATION" Counter NANO "Time held below the application's clock in ns.";
    of(Metric::ViolationBaseClocks), Repeat, "DCGM_FI_DEV_TOTAL_BASE_CLOCKS_VIOLATION" Counter NANO "Time held below the base clock in ns.";
    of(Metric::PagesRetiredSingle), Repeat, "DCGM_FI_DEV_RETIRED_SBE" Counter Same "Pages retired for single-bit errors."
        => "DCGM_FI_DEV_PAGE_RETIRED_SBE_TOTAL" Counter Same "Pages retired for single-bit errors.";
    of(Metric::PagesRetiredDouble), Repeat, "DCGM_FI_DEV_RETIRED_DBE" Counter Same "Pages retired for double-bit errors."
        => "DCGM_FI_DEV_PAGE_RETIRED_DBE_TOTAL" Counter Same "Pages retired for double-bit errors.";
    of(Metric::PageRetirementPending), Repeat, "DCGM_FI_DEV_RETIRED_PENDING" Gauge Same "Whether a page is retired at the next reset."
        => "DCGM_FI_DEV_PAGE_RETIRED_PENDING" Gauge Same "Whether a page is retired at the next reset.";
    of(Metric::EccCorrectedVolatile), Repeat, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL" Counter Same "Single-bit errors since the driver was loaded.";
    of(Metric::EccUncorrectedVolatile), Repeat, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" Counter Same "Double-bit errors since the driver was loaded.";
    of(Metric::EccCorrectedAggregate), Repeat, "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" Counter Same "Single-bit errors in the life of the board.";
    of(Metric::EccUncorrectedAggregate), Repeat, "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" Counter Same "Double-bit errors in the life of the board.";
    of(Metric::RowRemapPending), Repeat, "DCGM_FI_DEV_ROW_REMAP_PENDING" Gauge Same "Whether a row is replaced at the next reset.";
    of(Metric::PowerLimitRequested), Repeat, "DCGM_FI_DEV_POWER_MGMT_LIMIT" Gauge Same "Power limit as requested in W."
        => "DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS" Gauge Same "Power limit as requested in W.";
    of(Metric::PowerLimitEnforced), Repeat, "DCGM_FI_DEV_ENFORCED_POWER_LIMIT" Gauge Same "Power limit as enforced in W."
        => "DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS" Gauge Same "Power limit as enforced in W.";
    of(Metric::TemperatureSlowdown), Repeat, "DCGM_FI_DEV_SLOWDOWN_TEMP" Gauge Same "Temperature at which the GPU slows down in degrees Celsius."
        => "DCGM_FI_DEV_GPU_TEMP_SLOWDOWN_CELSIUS" Gauge Same "Temperature at which the GPU slows down in degrees Celsius.";
    Take::Made(derive::clock_reasons), Repeat, "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS" Gauge Same "Reasons for a lower clock as bits."
        => "DCGM_FI_DEV_CLOCKS_EVENT_REASONS" Gauge Same "Reasons for a lower clock as bits.";
    Take::Made(derive::link_crc_flit), Repeat, "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" Counter Same "CRC errors of flits on all NVLinks.";
    Take::Made(derive::link_crc_data), Repeat, "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL" Counter Same "CRC errors of data on all NVLinks.";
    of(Metric::LinkErrorsReplay), Repeat, "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" Counter Same "Packets sent again on all NVLinks.";
    of(Metric::LinkErrorsRecovery), Repeat, "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" Counter Same "Recoveries of all NVLinks.";
    Take::Link(Metric::LinkSent), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_TX_BYTES" Counter Same "Data sent over the NVLink in bytes.";
    Take::Link(Metric::LinkReceived), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_RX_BYTES" Counter Same "Data received over the NVLink in bytes.";
    Take::Link(Metric::LinkMalformed), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_RX_MALFORMED_PACKET_ERRORS" Counter Same "Malformed packets received.";
    Take::Link(Metric::LinkOverrun), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_RX_BUFFER_OVERRUN_ERRORS" Counter Same "Packets received for which there was no room.";
    Take::Link(Metric::LinkRemote), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_RX_REMOTE_ERRORS" Counter Same "Packets received that the other end had marked as bad.";
    Take::Link(Metric::LinkIntegrity), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS" Counter Same "Times the count of local errors passed its threshold.";
    Take::Link(Metric::LinkSymbol), Repeat, "DCGM_FI_DEV_NVLINK_COUNT_RX_SYMBOL_ERRORS" Counter Same "Symbols received with errors.";
}
