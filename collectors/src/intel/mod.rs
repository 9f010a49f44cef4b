//! Intel GPUs (xe and i915) and NPUs (intel_vpu) through their files in sysfs and hwmon.
//!
//! Of the files, `card` reads a GPU, with `power` for its monitor and `tiles` for its engines; `npu` reads an NPU, and
//! `actuator` sets limits.
mod actuator;
mod card;
pub mod npu;
mod power;
mod reflex;
mod tiles;

use crate::sysfs::bus::{Bus, Plan};
use crate::sysfs::cards::Kind;
use crate::{Entry, Need, Options};
use model::{Actuator, Collector, OpenError};

/// Products by the number that PCI gives them, from the tables of xe and i915; a product beyond these is named by its number.
const PRODUCTS: &[(&str, &str)] = &[
    ("0x0bd5", "Intel Data Center GPU Max 1550"),
    ("0x0bd9", "Intel Data Center GPU Max 1100"),
    ("0x0bda", "Intel Data Center GPU Max 1100"),
    ("0x56c0", "Intel Data Center GPU Flex 170"),
    ("0x56c1", "Intel Data Center GPU Flex 140"),
    ("0x56a0", "Intel Arc A770"),
    ("0x56a1", "Intel Arc A750"),
    ("0xe20b", "Intel Arc B580"),
    ("0xe20c", "Intel Arc B570"),
    ("0xe211", "Intel Arc Pro B60"),
    ("0xe212", "Intel Arc Pro B50"),
];

/// Cards that xe and i915 drive.
const CARDS: Kind =
    Kind { class: ("drm", "card"), vendor: "0x8086", drivers: &["xe", "i915"], products: PRODUCTS };
/// The source that meets them.
const PLAN: Plan = Plan { name: "intel", prefix: "intel", kind: CARDS, open: card::open };

/// The line of Intel's GPUs in the table of sources.
pub const ENTRY: Entry = Entry {
    reflex: Some(open_reflex),
    actuator: Some(open_actuator),
    ..Entry::worker(
        "intel",
        open,
        &[
            Need { what: "Intel GPU readings (/sys/class/drm)", right: "none", without: "nothing" },
            Need {
                what: "Intel GPU energy, where the kernel was built to hide it from others than root",
                right: "CAP_DAC_READ_SEARCH",
                without: "power of Intel GPUs",
            },
            Need {
                what: "Intel GPU power limits (only with power.enforce = true)",
                right: "root: hwmon's power1_max has mode 0644",
                without: "enforcement; caps stay advice",
            },
        ],
    )
};

/// Opens the source of the beat; `None` on a host without Intel GPUs.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let here = CARDS.expected(&options.roots);
    Ok(here.then(|| Box::new(Bus::new(PLAN, options.roots.clone())) as Box<dyn Collector>))
}

/// Opens the source of the reflex for the card with a key; `None` on a host without Intel GPUs.
///
/// # Errors
/// None at present.
pub fn open_reflex(options: &Options, key: &str) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let here = CARDS.expected(&options.roots);
    Ok(here.then(|| Box::new(reflex::Reflex::new(options.roots.clone(), key)) as Box<dyn Collector>))
}

/// Opens the actuator; `None` on a host without Intel GPUs.
///
/// # Errors
/// None at present.
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    let here = CARDS.expected(&options.roots);
    Ok(here.then(|| Box::new(actuator::IntelActuator::new(options.roots.clone())) as Box<dyn Actuator>))
}
