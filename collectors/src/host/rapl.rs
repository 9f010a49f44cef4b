//! RAPL energy of packages and memory with wraps undone, and their limits, Documentation/power/powercap/powercap.rst.
use super::file::{Gauge, Kept, absence, names, numbered, word};
use crate::Options;
use model::error::OpenError;
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Odometer, Slot, Timestamp};
use std::path::{Path, PathBuf};

const MICRO: f64 = 1e-6;
/// Zones followed at most.
const ZONES_MAX: usize = 64;

/// Opens the source; a host without RAPL has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let class = options.roots.sys.join("class/powercap");
    // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it; AMD's zones have the same names.
    let mut found = Vec::new();
    for name in names(&class, |name| name.starts_with("intel-rapl:")) {
        let parent = name.rsplit_once(':').map_or("", |(parent, _)| parent);
        let above = if parent.contains(':') {
            format!("{}/", word(&class.join(parent).join("name")))
        } else {
            String::new()
        };
        let key = format!("{above}{}", word(&class.join(&name).join("name")));
        let taken = found.iter().filter(|(known, _): &&(String, PathBuf)| *known == key).count();
        found.push((if taken > 0 { format!("{key}#{taken}") } else { key }, class.join(name)));
    }
    found.truncate(ZONES_MAX);
    Ok((!found.is_empty()).then(|| Box::new(Rapl { found, zones: Vec::new() }) as Box<dyn Collector>))
}

struct Zone {
    slot: Slot,
    energy: Kept,
    /// The value after the largest one, in microjoules.
    modulus: f64,
    odometer: Odometer,
    limits: Vec<Gauge>,
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
            match zone.energy.number() {
                Ok(raw) => {
                    batch.set(zone.slot, Metric::ZoneEnergy, zone.odometer.add(raw, zone.modulus) * MICRO)
                }
                Err(error) => batch.absent(zone.slot, Metric::ZoneEnergy, absence(&error)),
            }
            zone.limits.iter_mut().for_each(|limit| limit.read(zone.slot, batch));
        }
        Ok(())
    }
}
