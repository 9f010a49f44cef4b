//! Network interfaces: traffic, errors and drops from `/proc/net/dev`, state and speed from sysfs.
use super::file::{Gauge, Kept};
use crate::{Options, Roots};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp};

/// Interfaces followed at most; a node full of pods has one for each.
const INTERFACES_MAX: usize = 64;
/// Column behind the colon, metric; proc(5).
const COLUMNS: [(usize, Metric); 8] = [
    (0, Metric::InterfaceReceived),
    (1, Metric::InterfacePacketsReceived),
    (2, Metric::InterfaceErrorsReceived),
    (3, Metric::InterfaceDropsReceived),
    (8, Metric::InterfaceSent),
    (9, Metric::InterfacePacketsSent),
    (10, Metric::InterfaceErrorsSent),
    (11, Metric::InterfaceDropsSent),
];
/// Bytes a second in a megabit a second, the unit of `speed`.
const MEGABIT: f64 = 125_000.0;

/// Opens the source; a kernel without the file has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let table = Kept::open(options.roots.proc.join("net/dev"));
    let roots = options.roots.clone();
    Ok(table.ok().map(|table| Box::new(Network { roots, table, known: Vec::new() }) as Box<dyn Collector>))
}

struct Known {
    name: String,
    slot: Slot,
    state: Kept,
    speed: Gauge,
    seen: bool,
}

struct Network {
    roots: Roots,
    table: Kept,
    known: Vec<Known>,
}

fn meet(roots: &Roots, name: &str, batch: &mut Batch) -> Known {
    let folder = roots.sys.join("class/net").join(name);
    Known {
        name: name.to_owned(),
        slot: batch.device(DeviceInfo::new(DeviceKind::Interface, name)),
        state: Kept::new(folder.join("operstate")),
        speed: Gauge::new(Metric::InterfaceSpeed, folder.join("speed"), MEGABIT),
        seen: true,
    }
}

impl Collector for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let Self { roots, table, known } = self;
        known.iter_mut().for_each(|interface| interface.seen = false);
        let text = table.text().map_err(|error| CollectError::io("read /proc/net/dev", error))?;
        for (name, columns) in text.lines().filter_map(|line| line.split_once(':')) {
            let name = name.trim();
            let found = known.iter().position(|interface| interface.name == name);
            let place = match found {
                Some(place) => place,
                None if name == "lo" || known.len() >= INTERFACES_MAX => continue,
                None => {
                    known.push(meet(roots, name, batch));
                    known.len() - 1
                }
            };
            known[place].seen = true;
            let slot = known[place].slot;
            let mut wanted = COLUMNS.iter().peekable();
            for (number, word) in columns.split_ascii_whitespace().enumerate() {
                if let Some((_, metric)) = wanted.next_if(|(column, _)| *column == number) {
                    match word.parse::<f64>() {
                        Ok(value) => batch.set(slot, *metric, value),
                        Err(_) => batch.absent(slot, *metric, Absence::Implausible),
                    }
                }
            }
        }
        for interface in known.iter_mut() {
            let Known { slot, state, speed, seen, .. } = interface;
            if !*seen {
                batch.gone(*slot, now);
                continue;
            }
            match state.text() {
                Ok(text) if text.trim() != "unknown" => {
                    batch.flag(*slot, Metric::InterfaceUp, text.trim() == "up")
                }
                _ => batch.absent(*slot, Metric::InterfaceUp, Absence::Unsupported),
            }
            speed.read(*slot, batch);
            unknown_speed(*slot, batch);
        }
        known.retain(|interface| interface.seen);
        Ok(())
    }
}

/// A link without a speed says -1, which is no implausible reading but none at all.
fn unknown_speed(slot: Slot, batch: &mut Batch) {
    if batch.reading(slot, Metric::InterfaceSpeed) == Some(model::Reading::Absent(Absence::Implausible)) {
        batch.absent(slot, Metric::InterfaceSpeed, Absence::Unsupported);
    }
}
