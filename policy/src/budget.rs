//! The tally: what the node draws, counted so that an error is on the safe side.
use crate::settings::Settings;
use model::{Absence, DeviceId, DeviceKind, Frame, History, Metric, Range, Reading, View, Watts};

/// One accelerator as the budget sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The device.
    pub device: DeviceId,
    /// Measured power; `None` when it cannot be read.
    pub power: Option<Watts>,
    /// What it is counted at: measured power with the sensor's margin, or its limit with a larger one.
    pub counted: Watts,
    /// What its limit may be; `None`: it cannot be capped.
    pub range: Option<Range>,
    /// The limit that the device enforces now.
    pub enforced: Option<Watts>,
}

/// The node's power, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// The budget.
    pub budget: Watts,
    /// Measured power of the accelerators that can be read.
    pub accelerators: Watts,
    /// Power of the rest of the node.
    pub rest: Watts,
    /// Whether the processor packages' part of it was measured.
    pub rest_measured: bool,
    /// What thresholds are compared with.
    pub counted: Watts,
    /// Whether some device's power could not be read.
    pub blind: bool,
}

/// Counts the node. `loads` is cleared and filled with every accelerator that is there.
pub fn tally(view: &View<'_>, settings: &Settings, budget: Watts, loads: &mut Vec<Load>) -> Tally {
    loads.clear();
    loads.extend(view.frame.devices.accelerators().map(|device| load(view.frame, device.id, settings)));
    let packages = packages(view.frame, view.history);
    let rest = settings.rest + packages.unwrap_or(settings.packages);
    let accelerators = loads.iter().filter_map(|load| load.power).sum();
    let counted: Watts = loads.iter().map(|load| load.counted).sum();
    Tally {
        budget,
        accelerators,
        rest,
        rest_measured: packages.is_some(),
        counted: counted + rest,
        blind: loads.iter().any(|load| load.power.is_none()),
    }
}

fn load(frame: &Frame, device: DeviceId, settings: &Settings) -> Load {
    let watts = |metric| frame.value(device, metric).map(Watts);
    // A driver without an instantaneous reading has only the average; it lags, but it is not blind.
    let instant = frame.get(device, Metric::PowerInstant);
    let power = match instant {
        Reading::Value(value) => Some(Watts(value)),
        Reading::Absent(Absence::Unsupported) => watts(Metric::PowerAverage),
        Reading::Absent(_) => None,
    };
    let enforced = watts(Metric::PowerLimitEnforced);
    let range = range(frame, device);
    let counted = match (power, enforced, range) {
        (Some(power), ..) => power * (1.0 + settings.gain_margin),
        (None, Some(limit), _) => limit * settings.blind_margin,
        (None, None, Some(range)) => range.max() * settings.blind_margin,
        (None, None, None) => settings.unknown_device,
    };
    Load { device, power, counted, range, enforced }
}

/// What the limit of a device may be, as its driver says.
pub fn range(frame: &Frame, device: DeviceId) -> Option<Range> {
    let watts = |metric| frame.value(device, metric).map(Watts);
    let max = watts(Metric::PowerLimitMax)?;
    Range::new(watts(Metric::PowerLimitMin)?, max, watts(Metric::PowerLimitDefault).unwrap_or(max))
}

/// Power of the RAPL packages and their memories; `None` unless every package can be read.
fn packages(frame: &Frame, history: &History) -> Option<Watts> {
    let counts = |key: &str| key.starts_with("package") && (!key.contains('/') || key.ends_with("/dram"));
    let mut sum = None;
    for zone in frame.devices.of_kind(DeviceKind::Zone).filter(|zone| counts(&zone.info.key)) {
        match history.latest(frame, zone.id, Metric::ZoneEnergy) {
            Some(power) => sum = Some(sum.unwrap_or(Watts::ZERO) + Watts(power)),
            None if zone.info.key.contains('/') => {}
            None => return None,
        }
    }
    sum
}
