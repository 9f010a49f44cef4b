//! Values of DCGM's that are made of several readings.
use model::{DeviceId, DeviceKind, Frame, Metric};

/// Power of the board: DCGM gives the driver's average over about a second; where there is none, the present power.
pub(super) fn power(frame: &Frame, device: DeviceId) -> Option<f64> {
    frame.value(device, Metric::PowerAverage).or_else(|| frame.value(device, Metric::PowerInstant))
}

/// Memory that is neither used nor kept by the driver. Without an account of what is kept it counts as used.
pub(super) fn memory_free(frame: &Frame, device: DeviceId) -> Option<f64> {
    let size = frame.value(device, Metric::MemorySize)?;
    let used = frame.value(device, Metric::MemoryUsed)?;
    let reserved = frame.value(device, Metric::MemoryReserved).unwrap_or(0.0);
    Some((size - used - reserved).max(0.0))
}

/// The last XID, 0 where XIDs are watched and none was seen. Unknown where they cannot be watched.
pub(super) fn last_xid(frame: &Frame, device: DeviceId) -> Option<f64> {
    let none_seen = || frame.value(device, Metric::XidErrors).filter(|count| *count == 0.0);
    frame.value(device, Metric::XidLastCode).or_else(none_seen)
}

/// NVML's bits of clock event reasons (`nvmlClocksEventReasons` in nvml.h).
const REASONS: [(Metric, u32); 8] = [
    (Metric::EventIdle, 0x1),
    (Metric::EventAppClocks, 0x2),
    (Metric::EventSwPowerCap, 0x4),
    (Metric::EventHwSlowdown, 0x8),
    (Metric::EventSyncBoost, 0x10),
    (Metric::EventSwThermal, 0x20),
    (Metric::EventHwThermal, 0x40),
    (Metric::EventPowerBrake, 0x80),
];

/// The reasons in force as a bit mask; unknown when none of them can be read.
pub(super) fn clock_reasons(frame: &Frame, device: DeviceId) -> Option<f64> {
    let known = REASONS.iter().filter_map(|(metric, bit)| Some((frame.flag(device, *metric)?, bit)));
    known
        .fold(None, |mask: Option<u32>, (set, bit)| Some(mask.unwrap_or(0) | if set { *bit } else { 0 }))
        .map(f64::from)
}

/// Data moved over all links, both ways, in bytes per second.
pub(super) fn link_throughput(frame: &Frame, device: DeviceId) -> Option<f64> {
    let received = frame.value(device, Metric::LinkReceive);
    let sent = frame.value(device, Metric::LinkTransmit);
    if received.is_none() && sent.is_none() {
        None
    } else {
        Some(received.unwrap_or(0.0) + sent.unwrap_or(0.0))
    }
}

/// CRC errors of flits on all links.
pub(super) fn link_crc_flit(frame: &Frame, device: DeviceId) -> Option<f64> {
    over_links(frame, device, Metric::LinkCrcFlit)
}

/// CRC errors of data on all links.
pub(super) fn link_crc_data(frame: &Frame, device: DeviceId) -> Option<f64> {
    over_links(frame, device, Metric::LinkCrcData)
}

/// The sum over a device's links; unknown unless every link gives it, since a sum that loses a link looks like a reset.
fn over_links(frame: &Frame, device: DeviceId, metric: Metric) -> Option<f64> {
    let key = &frame.devices.get(device).info.key;
    let mut links =
        frame.devices.of_kind(DeviceKind::Link).filter(|link| link.info.parent == *key).peekable();
    links.peek()?;
    links.map(|link| frame.value(link.id, metric)).sum()
}
