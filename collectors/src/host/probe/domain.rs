//! Cache domains: the processors that share a last-level cache.
use crate::host::file::{names, numbered, word};
use crate::host::perf::parse_list;
use std::path::Path;

/// Processors that share a last-level cache, in ascending order, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) cpus: Vec<usize>,
}

/// The domains by their first processor. Processors that say of no third level share the node's memory only: they are one
/// domain together.
pub(super) fn domains(sys: &Path) -> Vec<Domain> {
    let folder = sys.join("devices/system/cpu");
    let mut numbers: Vec<usize> = names(&folder, |name| numbered(name, "cpu").is_some())
        .iter()
        .filter_map(|name| numbered(name, "cpu"))
        .collect();
    numbers.sort_unstable();
    let (mut found, mut rest) = (Vec::<Domain>::new(), Vec::new());
    for number in numbers {
        if found.iter().any(|domain| domain.cpus.contains(&number)) {
            continue;
        }
        let cpu = folder.join(format!("cpu{number}"));
        let mut cpus = parse_list(&word(&cpu.join("cache/index3/shared_cpu_list")));
        cpus.sort_unstable();
        // A list in which the processor itself is not is no list of those that share its cache.
        if cpus.contains(&number) {
            found.push(Domain { cpus });
        } else {
            rest.push(number);
        }
    }
    if !rest.is_empty() {
        found.push(Domain { cpus: rest });
    }
    found.sort_unstable_by_key(|domain| domain.cpus[0]);
    found
}
