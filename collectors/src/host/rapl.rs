//! RAPL energy of packages and memory with wraps undone, and their limits, Documentation/power/powercap/powercap.rst.
mod limit;

use super::file::{Gauge, Kept, absence, names, numbered, word};
use crate::{Entry, Need, Options, Roots};
use model::error::OpenError;
use model::{
    Absence, Actuator, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Odometer, Slot,
    Timestamp,
};
use std::path::{Path, PathBuf};

const MICRO: f64 = 1e-6;
/// Zones followed at most.
const ZONES_MAX: usize = 64;

/// RAPL's line in the table of sources.
pub const ENTRY: Entry = Entry {
    actuator: Some(open_actuator),
    ..Entry::inline(
        "rapl",
        open,
        &[
            Need {
                what: "RAPL energy",
                right: "root, or CAP_DAC_READ_SEARCH",
                without: "power of the processor packages and their memory; the budget counts power.packages instead",
            },
            Need {
                what: "RAPL power limits of packages (only with power.enforce = true)",
                right: "root, or CAP_DAC_OVERRIDE",
                without: "limits of processor packages; quotas of control groups take their place",
            },
        ],
    )
};

/// Opens the source; a host without RAPL has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let found = zones(&options.roots);
    Ok((!found.is_empty()).then(|| Box::new(Rapl { found, zones: Vec::new() }) as Box<dyn Collector>))
}

/// Opens the actuator; a host without RAPL has none. AMD's packages have energy and no limits.
///
/// # Errors
/// None at present.
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    let here = !zones(&options.roots).is_empty();
    Ok(here.then(|| Box::new(limit::RaplActuator::new(options.roots.clone())) as Box<dyn Actuator>))
}

/// The zones of a host by their keys: a package's is its name, such as `package-0`, that of a part has the package's before
/// it.
fn zones(roots: &Roots) -> Vec<(String, PathBuf)> {
    let class = roots.sys.join("class/powercap");
    // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it; AMD's zones have the same names.
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for name in names(&class, |name| name.starts_with("intel-rapl:")) {
        let parent = name.rsplit_once(':').map_or("", |(parent, _)| parent);
        // The parent is sorted before its parts, and its key may have been numbered.
        let parent = class.join(parent);
        let above = found.iter().find(|(_, folder)| *folder == parent);
        let above = above.map_or(String::new(), |(key, _)| format!("{key}/"));
        let key = format!("{above}{}", word(&class.join(&name).join("name")));
        let keys = (0..ZONES_MAX).map(|n| if n == 0 { key.clone() } else { format!("{key}#{n}") });
        let free = keys.into_iter().find(|key| found.iter().all(|(known, _)| known != key));
        found.extend(free.map(|key| (key, class.join(name))));
    }
    found.truncate(ZONES_MAX);
    found
}

struct Zone {
    slot: Slot,
    energy: Kept,
    /// The value after the largest one, in microjoules.
    modulus: f64,
    odometer: Odometer,
    /// The enable bit of the long-term limit (drivers/powercap/intel_rapl_common.c).
    enabled: Option<Kept>,
    limits: Vec<Gauge>,
}

impl Zone {
    /// The energy since the first reading. A raw value beyond the counter's range never reaches the total.
    fn energy(&mut self, batch: &mut Batch) {
        let range = if self.modulus > 1.0 { self.modulus } else { f64::INFINITY };
        match self.energy.number() {
            Ok(raw) if (0.0..range).contains(&raw) => {
                let joules = self.odometer.add(raw, self.modulus) * MICRO;
                batch.set(self.slot, Metric::ZoneEnergy, joules);
            }
            Ok(_) => batch.absent(self.slot, Metric::ZoneEnergy, Absence::Implausible),
            Err(error) => batch.absent(self.slot, Metric::ZoneEnergy, absence(&error)),
        }
    }

    /// The limits; one that is switched off is no limit, whatever number stands in its file.
    fn limits(&mut self, batch: &mut Batch) {
        self.limits.iter_mut().for_each(|limit| limit.read(self.slot, batch));
        let limited = batch.reading(self.slot, Metric::ZoneLimitLong).is_some();
        let off = self.enabled.as_mut().is_some_and(|file| file.number().is_ok_and(|on| on == 0.0));
        if limited && off {
            batch.absent(self.slot, Metric::ZoneLimitLong, Absence::Disabled);
        }
    }
}

struct Rapl {
    found: Vec<(String, PathBuf)>,
    zones: Vec<Zone>,
}

fn meet(key: &str, folder: &Path, batch: &mut Batch) -> Zone {
    // The numbers of constraints differ between machines; their names do not.
    let limit = |file: String| {
        let number = numbered(file.strip_suffix("_name")?, "constraint_")?;
        let metric = match word(&folder.join(&file)).as_str() {
            "long_term" => Metric::ZoneLimitLong,
            "short_term" => Metric::ZoneLimitShort,
            _ => return None,
        };
        Some(Gauge::new(metric, folder.join(format!("constraint_{number}_power_limit_uw")), MICRO))
    };
    let largest: f64 = word(&folder.join("max_energy_range_uj")).parse().unwrap_or(0.0);
    Zone {
        slot: batch.device(DeviceInfo::new(DeviceKind::Zone, key)),
        energy: Kept::new(folder.join("energy_uj")),
        modulus: largest + 1.0,
        odometer: Odometer::default(),
        enabled: folder.join("enabled").exists().then(|| Kept::new(folder.join("enabled"))),
        limits: names(folder, |name| name.starts_with("constraint_")).into_iter().filter_map(limit).collect(),
    }
}

impl Collector for Rapl {
    fn name(&self) -> &'static str {
        "rapl"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.zones.is_empty() {
            self.zones = self.found.iter().map(|(key, folder)| meet(key, folder, batch)).collect();
        }
        for zone in &mut self.zones {
            zone.energy(batch);
            zone.limits(batch);
        }
        Ok(())
    }
}
