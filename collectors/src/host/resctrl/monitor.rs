//! The files of one monitoring group: three quantities a cache domain, each a number or a word that says why there is none.
use crate::host::file::{Kept, absence, names};
use model::Absence;
use std::path::Path;

/// What the hardware monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Bytes moved to and from memory.
    Traffic,
    /// The part of them that is the domain's own memory.
    Local,
    /// Bytes in the cache now.
    Cache,
}

impl Quantity {
    /// Every quantity, in the order of readings.
    pub(super) const ALL: [Self; 3] = [Self::Traffic, Self::Local, Self::Cache];

    const fn file(self) -> &'static str {
        match self {
            Self::Traffic => "mbm_total_bytes",
            Self::Local => "mbm_local_bytes",
            Self::Cache => "llc_occupancy",
        }
    }

    /// Whether it only grows.
    const fn is_total(self) -> bool {
        matches!(self, Self::Traffic | Self::Local)
    }
}

/// The number of the cache in the name of a domain's folder: 3 in `mon_L3_03`.
pub(super) fn domain(name: &str) -> Option<usize> {
    name.strip_prefix("mon_L3_")?.parse().ok()
}

/// Whether a name is that of a domain's folder.
pub(super) fn is_domain(name: &str) -> bool {
    domain(name).is_some()
}

/// What a file's text says. The words are those of `rdtgroup_mondata_show` (fs/resctrl): the hardware has no value yet or any
/// more, it reports a fault, or no counter was given to this group.
pub(super) fn value(text: &str) -> Result<f64, Absence> {
    match text.trim() {
        "Unavailable" => Err(Absence::Late),
        "Error" => Err(Absence::Lost),
        "Unassigned" => Err(Absence::Disabled),
        number => number.parse().map_err(|_| Absence::Implausible),
    }
}

/// One file.
#[derive(Debug)]
struct Member {
    quantity: Quantity,
    file: Kept,
    last: Option<f64>,
    /// Growth since it was met.
    grown: f64,
}

impl Member {
    fn read(&mut self) -> Result<f64, Absence> {
        let now = self.file.text().map_err(|error| absence(&error)).and_then(value)?;
        if !self.quantity.is_total() {
            return Ok(now);
        }
        // A counter that fell was given to another group meanwhile.
        self.grown += self.last.map_or(0.0, |last| (now - last).max(0.0));
        self.last = Some(now);
        Ok(self.grown)
    }
}

/// The files of one monitoring group in some or all domains.
#[derive(Debug)]
pub(in crate::host) struct Monitor {
    members: Vec<Member>,
}

impl Monitor {
    /// Those in a folder `mon_data` whose domain passes.
    pub(super) fn of(folder: &Path, pass: impl Fn(&str) -> bool) -> Self {
        let domains = names(folder, |name| is_domain(name) && pass(name));
        let member = |name: &String, quantity: Quantity| {
            let file = Kept::new(folder.join(name).join(quantity.file()));
            Member { quantity, file, last: None, grown: 0.0 }
        };
        let of_domain = |name| Quantity::ALL.map(|quantity| member(name, quantity));
        Self { members: domains.iter().flat_map(of_domain).collect() }
    }

    /// The sum of each quantity over the domains, totals since the group was met; where one domain is absent the sum is, for
    /// a part would pass for the whole.
    pub(in crate::host) fn read(&mut self) -> [Result<f64, Absence>; Quantity::ALL.len()] {
        let none = Err(Absence::Unsupported);
        let mut sums: [Option<Result<f64, Absence>>; Quantity::ALL.len()] = [None; Quantity::ALL.len()];
        for member in &mut self.members {
            // Every file is read, so that growth is counted whatever others say.
            let read = member.read();
            let sum = &mut sums[member.quantity as usize];
            *sum = Some(sum.unwrap_or(Ok(0.0)).and_then(|sum| Ok(sum + read?)));
        }
        sums.map(|sum| sum.unwrap_or(none))
    }

    /// What it has moved since it was met; nothing of what it holds.
    pub(super) fn moved(&self) -> [f64; Quantity::ALL.len()] {
        Quantity::ALL.map(|quantity| {
            let of_it = |member: &&Member| member.quantity == quantity;
            self.members.iter().filter(of_it).map(|member| member.grown).sum()
        })
    }
}
