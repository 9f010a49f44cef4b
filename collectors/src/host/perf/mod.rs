//! Performance counters of each processor, system-wide: one hardware and one software group, each read as a whole so that
//! ratios within it are consistent, and scaled by the time it was on the hardware.
mod counter;
mod group;

use super::file::word;
use crate::{Options, Roots};
use counter::Scaled;
use group::{Group, HARDWARE, Opened, SOFTWARE};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, Metric, Slot, Timestamp};
use std::io::{self, ErrorKind};

/// Processors counted at most.
const CPUS_MAX: usize = 512;

/// Opens the source. Counters are the machine's own, so a fixture tree has none.
///
/// # Errors
/// When not even software events can be counted, as without CAP_PERFMON.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    if options.roots != Roots::default() {
        return Ok(None);
    }
    let online = parse_list(&word(&options.roots.sys.join("devices/system/cpu/online")));
    let mut cpus = Vec::new();
    for number in online.into_iter().take(CPUS_MAX) {
        let software =
            Group::open(number, SOFTWARE).map_err(|error| OpenError::io("count software events", error))?;
        let hardware = Group::open(number, HARDWARE);
        let why = hardware.as_ref().err().map(absence);
        let counters = |group: &Opened| vec![Scaled::default(); group.metrics.len()];
        let (soft, hard) = (counters(&software), hardware.as_ref().map(counters).unwrap_or_default());
        cpus.push(Cpu { number, slot: None, software, soft, hardware: hardware.ok(), hard, why });
    }
    Ok((!cpus.is_empty()).then(|| Box::new(Perf { cpus }) as Box<dyn Collector>))
}

/// Why hardware counters are absent: a machine without them, or one that refuses.
fn absence(error: &io::Error) -> Absence {
    match error.kind() {
        ErrorKind::PermissionDenied => Absence::Denied,
        _ => Absence::Unsupported,
    }
}

/// The numbers in a list such as `0-3,8`.
fn parse_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?.min(CPUS_MAX * 8))
    };
    text.split(',').filter_map(range).flatten().collect()
}

struct Cpu {
    number: usize,
    slot: Option<Slot>,
    software: Opened,
    soft: Vec<Scaled>,
    hardware: Option<Opened>,
    hard: Vec<Scaled>,
    why: Option<Absence>,
}

struct Perf {
    cpus: Vec<Cpu>,
}

/// Reads a group, adds its counts, and says for which share of the time since the last reading it was on the hardware.
fn read(group: &mut Opened, counters: &mut [Scaled], scheduled: Metric, slot: Slot, batch: &mut Batch) {
    let read = group.read(|place, sample| {
        counters[place].add(sample);
    });
    match read {
        Ok(()) => {
            for (metric, counter) in group.metrics.iter().zip(counters.iter()) {
                batch.set(slot, *metric, counter.total());
            }
            if let Some(share) = counters.first().and_then(Scaled::scheduled) {
                batch.set(slot, scheduled, share);
            }
        }
        Err(error) => {
            group.metrics.iter().for_each(|metric| batch.absent(slot, *metric, super::file::absence(&error)))
        }
    }
}

impl Collector for Perf {
    fn name(&self) -> &'static str {
        "perf"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        for cpu in &mut self.cpus {
            let slot = *cpu.slot.get_or_insert_with(|| batch.device(super::core(cpu.number)));
            read(&mut cpu.software, &mut cpu.soft, Metric::CoreSoftwareScheduled, slot, batch);
            match &mut cpu.hardware {
                Some(hardware) => {
                    read(hardware, &mut cpu.hard, Metric::CoreHardwareScheduled, slot, batch);
                    for metric in hardware.missing() {
                        batch.absent(slot, metric, Absence::Unsupported);
                    }
                }
                None => {
                    let why = cpu.why.unwrap_or(Absence::Unsupported);
                    HARDWARE.iter().for_each(|(metric, _)| batch.absent(slot, *metric, why));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read() {
        assert_eq!(parse_list("0-3,8,10-11"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("nonsense,"), Vec::<usize>::new());
        assert!(parse_list("0-99999999999").len() <= CPUS_MAX * 8 + 1);
    }

    #[test]
    fn context_switches_of_this_machine_are_counted() {
        let options = Options { roots: Roots::default(), nvml_library: "none".into(), cgroups_max: 0 };
        let mut source = match open(&options) {
            Ok(Some(source)) => source,
            Ok(None) => return eprintln!("NOTICE: no processors are listed here"),
            Err(error) => return eprintln!("NOTICE: skipped, because counting is refused here: {error}"),
        };
        let mut batch = Batch::default();
        source.collect(Timestamp::default(), &mut batch).unwrap();
        // Other threads must run for a switch; a channel makes two of them hand over to each other.
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || (0..1000).try_for_each(|n| send.send(n)));
        while receive.recv().is_ok() {}
        batch.begin();
        source.collect(Timestamp::default(), &mut batch).unwrap();
        let slots: Vec<_> = batch.devices().map(|(slot, _)| slot).collect();
        let switches =
            |slot: &Slot| batch.reading(*slot, Metric::CoreSwitches).and_then(model::Reading::value).unwrap();
        assert!(slots.iter().map(switches).sum::<f64>() > 0.0);
    }
}
