//! Getters that the safe wrapper lacks or gets wrong, one function of the library each.
use super::{Handle, get, version};
use crate::nvml::codes::Fault;
use crate::nvml::session::Gpu;
use nvml_wrapper::error::nvml_sym;
use nvml_wrapper_sys::bindings::{
    nvmlEccSramErrorStatus_t, nvmlFanSpeedInfo_t, nvmlGpuFabricInfoV_t, nvmlMarginTemperature_t,
    nvmlMemory_t, nvmlRowRemapperHistogramValues_t,
};
use std::ffi::{c_uint, c_ulong};

/// Memory used and in all, in bytes, as older drivers say it: what the driver keeps for itself counts as used.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn memory_of_old(gpu: &Gpu<'_>) -> Result<(u64, u64), Fault> {
    let blank = nvmlMemory_t { total: 0, free: 0, used: 0 };
    let memory: Result<_, Fault> = get!(gpu, nvmlDeviceGetMemoryInfo() => blank);
    memory.map(|memory| (memory.used, memory.total))
}

/// The clock event reasons, under their present name or that of older drivers.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn clock_event_reasons(gpu: &Gpu<'_>) -> Result<u64, Fault> {
    if gpu.nvml().lib().nvmlDeviceGetCurrentClocksEventReasons.is_ok() {
        get!(gpu, nvmlDeviceGetCurrentClocksEventReasons() => 0)
    } else {
        get!(gpu, nvmlDeviceGetCurrentClocksThrottleReasons() => 0)
    }
}

/// How far the die is below the temperature at which it slows down, in celsius.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn margin_temperature(gpu: &Gpu<'_>) -> Result<i32, Fault> {
    let blank =
        nvmlMarginTemperature_t { version: version::<nvmlMarginTemperature_t>(1), marginTemperature: 0 };
    let margin: Result<_, Fault> = get!(gpu, nvmlDeviceGetMarginTemperature() => blank);
    margin.map(|margin| margin.marginTemperature)
}

/// Speed of the first fan, in turns a minute.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn fan_rpm(gpu: &Gpu<'_>) -> Result<u32, Fault> {
    let blank = nvmlFanSpeedInfo_t { version: version::<nvmlFanSpeedInfo_t>(1), fan: 0, speed: 0 };
    let fan: Result<_, Fault> = get!(gpu, nvmlDeviceGetFanSpeedRPM() => blank);
    fan.map(|fan| fan.speed)
}

/// Utilisation of an engine for pictures, in percent.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn jpeg_utilization(gpu: &Gpu<'_>) -> Result<u32, Fault> {
    let mut percent = 0;
    let period: Result<u32, Fault> = get!(gpu, nvmlDeviceGetJpgUtilization(&mut percent) => 0);
    period.map(|_| percent)
}

/// Utilisation of the engine for optical flow, in percent.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn optical_flow_utilization(gpu: &Gpu<'_>) -> Result<u32, Fault> {
    let mut percent = 0;
    let period: Result<u32, Fault> = get!(gpu, nvmlDeviceGetOfaUtilization(&mut percent) => 0);
    period.map(|_| percent)
}

/// Banks of device memory by how many spare rows are left: the most, many, some, few, none.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn remap_histogram(gpu: &Gpu<'_>) -> Result<[u32; 5], Fault> {
    let blank = nvmlRowRemapperHistogramValues_t { max: 0, high: 0, partial: 0, low: 0, none: 0 };
    let banks: Result<_, Fault> = get!(gpu, nvmlDeviceGetRowRemapperHistogram() => blank);
    banks.map(|banks| [banks.max, banks.high, banks.partial, banks.low, banks.none])
}

/// The first NUMA node whose memory is near; `None` when the driver names none.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn numa_node(gpu: &Gpu<'_>) -> Result<Option<u32>, Fault> {
    const WORDS: usize = 4;
    const SCOPE_NODE: c_uint = 0;
    let call = nvml_sym(gpu.nvml().lib().nvmlDeviceGetMemoryAffinity.as_ref())?;
    let mut nodes: [c_ulong; WORDS] = [0; WORDS];
    gpu.during("nvmlDeviceGetMemoryAffinity", || {
        // SAFETY: the device belongs to this library, and the set has as many words as said.
        Fault::check(unsafe { call(gpu.handle().0, WORDS as c_uint, nodes.as_mut_ptr(), SCOPE_NODE) })
    })?;
    let words = nodes.iter().zip((0..).step_by(c_ulong::BITS as usize));
    Ok(words.filter(|(word, _)| **word != 0).map(|(word, first)| first + word.trailing_zeros()).next())
}

/// What the fabric manager made of the device: state, status, and the mask of its health.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn fabric(gpu: &Gpu<'_>) -> Result<(u32, u32, u32), Fault> {
    /// The second version of the structure ends before the last field of the third.
    const SECOND: c_uint = 36 | (2 << 24);
    let ask = |version: c_uint| -> Result<nvmlGpuFabricInfoV_t, Fault> {
        let blank = nvmlGpuFabricInfoV_t {
            version,
            clusterUuid: [0; 16],
            status: 0,
            cliqueId: 0,
            state: 0,
            healthMask: 0,
            healthSummary: 0,
        };
        get!(gpu, nvmlDeviceGetGpuFabricInfoV() => blank)
    };
    let found = match ask(version::<nvmlGpuFabricInfoV_t>(3)) {
        Err(Fault::ARGUMENT_VERSION_MISMATCH) => ask(SECOND)?,
        answer => answer?,
    };
    // The state is a byte in one header and a word in another; the others are words in all.
    Ok((u32::from(found.state), found.status, found.healthMask))
}

/// Errors of one memory that ECC corrected (type 0) or could not correct (1) since the driver was loaded.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn memory_errors(gpu: &Gpu<'_>, kind: u32, location: u32) -> Result<u64, Fault> {
    const VOLATILE: c_uint = 0;
    get!(gpu, nvmlDeviceGetMemoryErrorCounter(kind, VOLATILE, location) => 0)
}

/// Errors of one memory that ECC could not correct in the board's life.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn lifetime_errors(gpu: &Gpu<'_>, location: u32) -> Result<u64, Fault> {
    const UNCORRECTED: c_uint = 1;
    const AGGREGATE: c_uint = 1;
    get!(gpu, nvmlDeviceGetMemoryErrorCounter(UNCORRECTED, AGGREGATE, location) => 0)
}

/// Errors of on-chip memory that ECC could not correct in the board's life, and whether the vendor's threshold is exceeded.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn sram_status(gpu: &Gpu<'_>) -> Result<(u64, bool), Fault> {
    let blank = nvmlEccSramErrorStatus_t {
        version: version::<nvmlEccSramErrorStatus_t>(1),
        aggregateUncParity: 0,
        aggregateUncSecDed: 0,
        aggregateCor: 0,
        volatileUncParity: 0,
        volatileUncSecDed: 0,
        volatileCor: 0,
        aggregateUncBucketL2: 0,
        aggregateUncBucketSm: 0,
        aggregateUncBucketPcie: 0,
        aggregateUncBucketMcu: 0,
        aggregateUncBucketOther: 0,
        bThresholdExceeded: 0,
    };
    let status: Result<_, Fault> = get!(gpu, nvmlDeviceGetSramEccErrorStatus() => blank);
    let status = status?;
    let count = status.aggregateUncParity.saturating_add(status.aggregateUncSecDed);
    Ok((count, status.bThresholdExceeded != 0))
}

/// Whether the InfoROM passes its checksums. The library reads the board's flash for that.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn inforom_valid(gpu: &Gpu<'_>) -> Result<bool, Fault> {
    let call = nvml_sym(gpu.nvml().lib().nvmlDeviceValidateInforom.as_ref())?;
    let answer = gpu.during("nvmlDeviceValidateInforom", || {
        // SAFETY: the device belongs to this library.
        Fault::check(unsafe { call(gpu.handle().0) })
    });
    match answer {
        Err(Fault::CORRUPTED_INFOROM) => Ok(false),
        answer => answer.map(|()| true),
    }
}

/// How near two devices are to each other: `nvmlGpuTopologyLevel_t`.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn common_ancestor(gpu: &Gpu<'_>, other: Handle) -> Result<u32, Fault> {
    get!(gpu, nvmlDeviceGetTopologyCommonAncestor(other.0) => 0)
}

/// Whether two devices read each other's memory over NVLink.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn linked(gpu: &Gpu<'_>, other: Handle) -> Result<bool, Fault> {
    const OVER_NVLINK: c_uint = 2;
    let status: Result<u32, Fault> = get!(gpu, nvmlDeviceGetP2PStatus(other.0, OVER_NVLINK) => 0);
    status.map(|status| status == 0)
}

/// Whether a link is up, for drivers whose fields do not say.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn link_state(gpu: &Gpu<'_>, link: u32) -> Result<u32, Fault> {
    get!(gpu, nvmlDeviceGetNvLinkState(link) => 0)
}

/// The version of a link: `nvmlNvlinkVersion_t`.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn link_version(gpu: &Gpu<'_>, link: u32) -> Result<u32, Fault> {
    get!(gpu, nvmlDeviceGetNvLinkVersion(link) => 0)
}

/// A count of errors on a link: 0 replay, 1 recovery, 2 CRC of flits, 3 CRC of data, 4 ECC.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn link_errors(gpu: &Gpu<'_>, link: u32, counter: u32) -> Result<u64, Fault> {
    get!(gpu, nvmlDeviceGetNvLinkErrorCounter(link, counter) => 0)
}
