//! AMD GPUs through amdgpu's files in sysfs: hwmon, `gpu_metrics`, RAS, XGMI, and KFD's list of processes.
//!
//! Of the files, `card` reads one card with the rows of `rows`, `layouts` and `table` know the `gpu_metrics` tables,
//! `throttle` tells what holds the clock down, `ras` counts errors, `kfd` says who uses the card, and `actuator` sets limits.
mod actuator;
mod card;
mod kfd;
pub mod layouts;
mod ras;
mod reflex;
mod rows;
pub mod table;
mod throttle;

use crate::sysfs::bus::{Bus, Plan};
use crate::sysfs::cards::Kind;
use crate::{Entry, Need, Options};
use model::{Actuator, Collector, OpenError};

/// Cards that amdgpu drives.
const CARDS: Kind = Kind { class: ("drm", "card"), vendor: "0x1002", drivers: &["amdgpu"], products: &[] };
/// The source that meets them.
const PLAN: Plan = Plan { name: "amd", prefix: "amd", kind: CARDS, open: card::open };

/// AMD's line in the table of sources.
pub const ENTRY: Entry = Entry {
    reflex: Some(open_reflex),
    actuator: Some(open_actuator),
    ..Entry::worker(
        "amd",
        open,
        &[
            Need {
                what: "AMD readings, error counts and processes (/sys/class/drm, /sys/class/kfd)",
                right: "none; in a container a device cgroup that allows the card's render node, for KFD's topology",
                without: "which processes use a card",
            },
            Need {
                what: "AMD power limits (only with power.enforce = true)",
                right: "root: hwmon's power1_cap has mode 0644",
                without: "enforcement; caps stay advice",
            },
        ],
    )
};

/// Opens the source of the beat; `None` on a host without AMD cards.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let here = CARDS.expected(&options.roots);
    Ok(here.then(|| Box::new(Bus::new(PLAN, options.roots.clone())) as Box<dyn Collector>))
}

/// Opens the source of the reflex for the card with a key: instantaneous power and nothing else; `None` on a host without AMD
/// cards.
///
/// # Errors
/// None at present.
pub fn open_reflex(options: &Options, key: &str) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let here = CARDS.expected(&options.roots);
    Ok(here.then(|| Box::new(reflex::Reflex::new(options.roots.clone(), key)) as Box<dyn Collector>))
}

/// Opens the actuator; `None` on a host without AMD cards.
///
/// # Errors
/// None at present.
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    let here = CARDS.expected(&options.roots);
    Ok(here.then(|| Box::new(actuator::AmdActuator::new(options.roots.clone())) as Box<dyn Actuator>))
}

#[cfg(test)]
mod tests;
