//! Memory errors that the memory controllers report, Documentation/driver-api/edac.rst.
use super::file::{Gauge, Gauges, names, numbered, word};
use crate::Options;
use model::error::OpenError;
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Timestamp};
use std::path::PathBuf;

/// Opens the source; a host without EDAC has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let folder = options.roots.sys.join("devices/system/edac/mc");
    let found = names(&folder, |name| numbered(name, "mc").is_some());
    Ok((!found.is_empty())
        .then(|| Box::new(Edac { folder, found, controllers: Vec::new() }) as Box<dyn Collector>))
}

struct Edac {
    folder: PathBuf,
    found: Vec<String>,
    controllers: Vec<Gauges>,
}

impl Collector for Edac {
    fn name(&self) -> &'static str {
        "edac"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        for name in self.found.drain(..) {
            let folder = self.folder.join(&name);
            let model = word(&folder.join("mc_name"));
            let slot =
                batch.device(DeviceInfo { model, ..DeviceInfo::new(DeviceKind::MemoryController, name) });
            let files = vec![
                Gauge::new(Metric::EdacCorrected, folder.join("ce_count"), 1.0),
                Gauge::new(Metric::EdacUncorrected, folder.join("ue_count"), 1.0),
            ];
            self.controllers.push(Gauges { slot, files });
        }
        self.controllers.iter_mut().for_each(|controller| controller.read(batch));
        Ok(())
    }
}
