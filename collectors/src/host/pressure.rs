//! Pressure stall information of the node, Documentation/accounting/psi.rst.
use super::file::{Kept, absence};
use super::node;
use crate::Options;
use model::error::OpenError;
use model::{Batch, CollectError, Collector, DeviceInfo, Metric, Slot, Timestamp};

/// File, then total and ten-second mean of `some` and of `full`.
const FILES: [(&str, [Metric; 2], [Metric; 2]); 3] = [
    (
        "cpu",
        [Metric::PressureCpuSome, Metric::PressureCpuSome10],
        [Metric::PressureCpuFull, Metric::PressureCpuFull10],
    ),
    (
        "memory",
        [Metric::PressureMemorySome, Metric::PressureMemorySome10],
        [Metric::PressureMemoryFull, Metric::PressureMemoryFull10],
    ),
    (
        "io",
        [Metric::PressureIoSome, Metric::PressureIoSome10],
        [Metric::PressureIoFull, Metric::PressureIoFull10],
    ),
];

/// Opens the source; a kernel without the files has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let folder = options.roots.proc.join("pressure");
    if !folder.is_dir() {
        return Ok(None);
    }
    let files = FILES.map(|(name, ..)| Kept::new(folder.join(name)));
    Ok(Some(Box::new(Pressure { info: node(&options.roots), slot: None, files })))
}

struct Pressure {
    info: DeviceInfo,
    slot: Option<Slot>,
    files: [Kept; 3],
}

/// Total in seconds and ten-second share of one line, `some avg10=0.12 avg60=… total=123456`.
pub(in crate::host) fn parse(line: &str) -> Option<(f64, f64)> {
    let field = |name: &str| {
        line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    Some((field("total")?.parse::<f64>().ok()? * 1e-6, field("avg10")?.parse::<f64>().ok()? / 100.0))
}

impl Collector for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let slot = *self.slot.get_or_insert_with(|| batch.device(self.info.clone()));
        for ((_, some, full), file) in FILES.iter().zip(&mut self.files) {
            match file.text() {
                Ok(text) => {
                    for (word, metrics) in [("some", some), ("full", full)] {
                        let line = text.lines().find(|line| line.starts_with(word));
                        if let Some((total, share)) = line.and_then(parse) {
                            batch.set(slot, metrics[0], total);
                            batch.set(slot, metrics[1], share);
                        }
                    }
                }
                Err(error) => {
                    some.iter().chain(full).for_each(|metric| batch.absent(slot, *metric, absence(&error)))
                }
            }
        }
        Ok(())
    }
}
