//! Temperatures, fans and power of the host from hwmon and thermal zones, Documentation/hwmon/sysfs-interface.rst.
use super::file::{Gauge, Gauges, names, numbered, word};
use crate::Options;
use model::error::OpenError;
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Timestamp};
use std::path::{Path, PathBuf};

/// Sensors followed at most.
const SENSORS_MAX: usize = 256;
/// Input file of a sensor: prefix, suffix, metric, scale.
const INPUTS: [(&str, &str, Metric, f64); 4] = [
    ("temp", "_input", Metric::SensorTemperature, 1e-3),
    ("fan", "_input", Metric::SensorFan, 1.0),
    ("power", "_average", Metric::SensorPower, 1e-6),
    ("power", "_input", Metric::SensorPower, 1e-6),
];

/// A sensor before it is a device of a batch.
struct Found {
    key: String,
    name: String,
    files: Vec<(Metric, PathBuf, f64)>,
}

/// Opens the source; a host without sensors has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let class = options.roots.sys.join("class");
    let mut found: Vec<Found> = Vec::new();
    for chip in names(&class.join("hwmon"), |_| true) {
        chip_sensors(&class.join("hwmon").join(chip), &mut found);
    }
    for zone in names(&class.join("thermal"), |name| numbered(name, "thermal_zone").is_some()) {
        let folder = class.join("thermal").join(&zone);
        let files = vec![(Metric::SensorTemperature, folder.join("temp"), 1e-3)];
        found.push(Found { key: zone, name: word(&folder.join("type")), files });
    }
    found.truncate(SENSORS_MAX);
    tell_apart(&mut found);
    Ok((!found.is_empty()).then(|| Box::new(Thermal { found, sensors: Vec::new() }) as Box<dyn Collector>))
}

/// Adds the key to a name that several sensors have, such as `coretemp Core 0` of two sockets.
fn tell_apart(found: &mut [Found]) {
    let names: Vec<String> = found.iter().map(|sensor| sensor.name.clone()).collect();
    for sensor in found {
        if names.iter().filter(|name| **name == sensor.name).count() > 1 {
            sensor.name = format!("{} ({})", sensor.name, sensor.key);
        }
    }
}

/// The sensors of one chip. Chips are numbered anew at each boot, so the key is made of the chip's name and its device.
fn chip_sensors(folder: &Path, found: &mut Vec<Found>) {
    let chip = word(&folder.join("name"));
    let device = std::fs::read_link(folder.join("device")).ok();
    let place = device.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let base = place.map_or(chip.clone(), |place| format!("{chip}-{place}"));
    let taken = |base: &str| {
        found.iter().any(|sensor| sensor.key.strip_prefix(base).is_some_and(|rest| rest.starts_with('/')))
    };
    let numbered_base = |n: usize| if n == 0 { base.clone() } else { format!("{base}#{n}") };
    let Some(base) = (0..SENSORS_MAX).map(numbered_base).find(|base| !taken(base)) else { return };
    let files = names(folder, |_| true);
    let averaged = |sensor: &str| files.contains(&format!("{sensor}_average"));
    for file in &files {
        for (prefix, suffix, metric, scale) in INPUTS {
            let Some(number) = file.strip_suffix(suffix).and_then(|stem| numbered(stem, prefix)) else {
                continue;
            };
            let sensor = format!("{prefix}{number}");
            if suffix == "_input" && averaged(&sensor) {
                continue;
            }
            let label = word(&folder.join(format!("{sensor}_label")));
            let name = if label.is_empty() { format!("{chip} {sensor}") } else { format!("{chip} {label}") };
            let mut files = vec![(metric, folder.join(file), scale)];
            let critical = folder.join(format!("{sensor}_crit"));
            if metric == Metric::SensorTemperature && critical.exists() {
                files.push((Metric::SensorTemperatureCritical, critical, 1e-3));
            }
            found.push(Found { key: format!("{base}/{sensor}"), name, files });
        }
    }
}

struct Thermal {
    found: Vec<Found>,
    sensors: Vec<Gauges>,
}

impl Collector for Thermal {
    fn name(&self) -> &'static str {
        "thermal"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        for Found { key, name, files } in self.found.drain(..) {
            let slot = batch.device(DeviceInfo { name, ..DeviceInfo::new(DeviceKind::Sensor, key) });
            let files =
                files.into_iter().map(|(metric, path, scale)| Gauge::new(metric, path, scale)).collect();
            self.sensors.push(Gauges { slot, files });
        }
        self.sensors.iter_mut().for_each(|sensor| sensor.read(batch));
        Ok(())
    }
}
