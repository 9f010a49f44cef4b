//! Network interfaces: traffic, errors and drops from `/proc/net/dev`, state and speed from sysfs.
use super::file::{Kept, Seldom, absence};
use crate::{Options, Roots};
use model::error::OpenError;
use model::{
    Absence, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Reading, Slot, Timestamp,
};

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
    carrier: Kept,
    up: Reading,
    speed: Kept,
    /// Asking takes the lock of the whole network stack and, on some cards, a command to the firmware.
    speed_seldom: Seldom,
    seen: bool,
}

impl Known {
    /// `operstate`, and `carrier` for drivers that do not keep it (Documentation/ABI/testing/sysfs-class-net).
    fn state(&mut self) -> Reading {
        let file = match self.state.text().map(str::trim) {
            Ok("unknown") => &mut self.carrier,
            Ok(state) => return Reading::Value(f64::from(u8::from(state == "up"))),
            Err(error) => return Reading::Absent(absence(&error)),
        };
        file.number().map_or_else(
            |error| Reading::Absent(absence(&error)),
            |carrier| Metric::InterfaceUp.reading(carrier),
        )
    }

    /// State and speed; a link that changes state has another speed.
    fn link(&mut self, batch: &mut Batch) {
        let up = self.state();
        let changed = up != self.up;
        self.up = up;
        let file = &mut self.speed;
        let speed = self.speed_seldom.get(changed, || match file.number() {
            // A link without a speed says -1, which is no implausible reading but none at all.
            Ok(-1.0) => Reading::Absent(Absence::Unsupported),
            Ok(megabits) => Metric::InterfaceSpeed.reading(megabits * MEGABIT),
            Err(error) => Reading::Absent(absence(&error)),
        });
        batch.put(self.slot, Metric::InterfaceUp, up);
        batch.put(self.slot, Metric::InterfaceSpeed, speed);
    }
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
        carrier: Kept::new(folder.join("carrier")),
        up: Reading::Absent(Absence::Unsupported),
        speed: Kept::new(folder.join("speed")),
        speed_seldom: Seldom::new(),
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
            if interface.seen {
                interface.link(batch);
            } else {
                batch.gone(interface.slot, now);
            }
        }
        known.retain(|interface| interface.seen);
        Ok(())
    }
}
