//! Processors: time by mode, clock, run-queue delay, slowdowns; load, tasks, context switches of the node.
use super::file::{Gauge, Gauges, Kept, absence, names, numbered, word};
use super::{core, node};
use crate::{Options, Roots};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp};
use std::collections::BTreeMap;

/// Modes in the order of `/proc/stat`, proc(5).
const MODES: [Metric; 9] = [
    Metric::CoreUser,
    Metric::CoreNice,
    Metric::CoreSystem,
    Metric::CoreIdle,
    Metric::CoreIowait,
    Metric::CoreIrq,
    Metric::CoreSoftirq,
    Metric::CoreSteal,
    Metric::CoreGuest,
];
/// Counters of the node in `/proc/stat`, by the first word of their line.
const COUNTERS: [(&str, Metric); 5] = [
    ("ctxt", Metric::ContextSwitches),
    ("intr", Metric::Interrupts),
    ("processes", Metric::Forks),
    ("procs_running", Metric::TasksRunning),
    ("procs_blocked", Metric::TasksBlocked),
];
/// How far, in seconds, idle and iowait time may step back: the kernel does not keep them monotonic (proc(5)). A step
/// that is longer is a processor that was taken out and put back.
const STEP_BACK_S: f64 = 3.0;
const LOADS: [Metric; 3] = [Metric::Load1, Metric::Load5, Metric::Load15];

/// Opens the source.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let roots = options.roots.clone();
    let stat =
        Kept::open(roots.proc.join("stat")).map_err(|error| OpenError::io("read /proc/stat", error))?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let file = |name: &str| Kept::new(roots.proc.join(name));
    let (load, uptime, sched) = (file("loadavg"), file("uptime"), file("schedstat"));
    Ok(Some(Box::new(Cpu {
        stat,
        load,
        uptime,
        sched,
        ticks,
        roots,
        node: None,
        cores: Vec::new(),
        packages: Vec::new(),
    })))
}

#[derive(Debug)]
struct Core {
    slot: Slot,
    files: Vec<Gauge>,
    /// Idle and iowait seconds as last given.
    idle: [f64; 2],
    seen: bool,
}

impl Core {
    /// Its times by mode, from words that count ticks.
    fn times<'a>(&mut self, words: impl Iterator<Item = &'a str>, tick: f64, batch: &mut Batch) {
        for (metric, word) in MODES.into_iter().zip(words) {
            let last = match metric {
                Metric::CoreIdle => &mut self.idle[0],
                Metric::CoreIowait => &mut self.idle[1],
                _ => {
                    set(self.slot, metric, word, tick, batch);
                    continue;
                }
            };
            let Ok(ticks) = word.parse::<f64>() else {
                batch.absent(self.slot, metric, Absence::Implausible);
                continue;
            };
            let seconds = ticks * tick;
            let back = *last - seconds;
            if !(back > 0.0 && back < STEP_BACK_S) {
                *last = seconds;
            }
            batch.set(self.slot, metric, *last);
        }
    }
}

struct Cpu {
    roots: Roots,
    stat: Kept,
    load: Kept,
    uptime: Kept,
    sched: Kept,
    /// Clock ticks a second in which `/proc/stat` counts.
    ticks: f64,
    node: Option<Slot>,
    /// By the processor's number.
    cores: Vec<Option<Core>>,
    packages: Vec<Gauges>,
}

impl Cpu {
    fn meet(&mut self, number: usize, batch: &mut Batch) -> &mut Core {
        if self.cores.len() <= number {
            self.cores.resize_with(number + 1, || None);
        }
        let roots = &self.roots;
        let core = self.cores[number].get_or_insert_with(|| {
            let folder = roots.sys.join(format!("devices/system/cpu/cpu{number}"));
            let throttles = folder.join("thermal_throttle/core_throttle_count");
            let clock = folder.join("cpufreq/scaling_cur_freq");
            let files = [
                Gauge::found(Metric::CoreFrequency, clock, 1e3),
                Gauge::found(Metric::CoreThrottles, throttles, 1.0),
            ];
            let files = files.into_iter().flatten().collect();
            Core { slot: batch.device(core(number)), files, idle: [0.0; 2], seen: true }
        });
        core.seen = true;
        core
    }

    fn stat(&mut self, node: Slot, batch: &mut Batch) -> Result<(), CollectError> {
        let failed = |error| CollectError::io("read /proc/stat", error);
        // The text is borrowed from the file, so the file is taken out while cores are met.
        let mut stat = std::mem::replace(&mut self.stat, Kept::new(""));
        let result = stat.text().map(|text| {
            for line in text.lines() {
                let mut words = line.split_ascii_whitespace();
                let Some(first) = words.next() else { continue };
                if let Some(number) =
                    numbered(first, "cpu").filter(|number| *number < model::device::DEVICES_MAX)
                {
                    let tick = 1.0 / self.ticks;
                    self.meet(number, batch).times(words, tick, batch);
                } else if let Some((_, metric)) = COUNTERS.iter().find(|(name, _)| *name == first) {
                    set(node, *metric, words.next().unwrap_or(""), 1.0, batch);
                }
            }
        });
        self.stat = stat;
        result.map_err(failed)
    }

    /// Waiting and running on each run queue. The columns are those of versions 15 to 17 of the file.
    fn schedstat(&mut self, batch: &mut Batch) {
        let slot_of = |cores: &[Option<Core>], number: usize| {
            cores.get(number).and_then(|c| c.as_ref().map(|c| c.slot))
        };
        match self.sched.text() {
            Ok(text) => {
                for line in text.lines() {
                    let mut words = line.split_ascii_whitespace();
                    let number = words.next().and_then(|word| numbered(word, "cpu"));
                    let Some(slot) = number.and_then(|number| slot_of(&self.cores, number)) else { continue };
                    let (delay, slices) = (words.nth(7).unwrap_or(""), words.next().unwrap_or(""));
                    set(slot, Metric::CoreRunDelay, delay, 1e-9, batch);
                    set(slot, Metric::CoreTimeslices, slices, 1.0, batch);
                }
            }
            Err(error) => {
                for core in self.cores.iter().flatten() {
                    batch.absent(core.slot, Metric::CoreRunDelay, absence(&error));
                    batch.absent(core.slot, Metric::CoreTimeslices, absence(&error));
                }
            }
        }
    }

    fn loads(&mut self, node: Slot, batch: &mut Batch) {
        let mut put = |metrics: &[Metric], file: &mut Kept| match file.text() {
            Ok(text) => metrics
                .iter()
                .zip(text.split_ascii_whitespace())
                .for_each(|(m, word)| set(node, *m, word, 1.0, batch)),
            Err(error) => metrics.iter().for_each(|metric| batch.absent(node, *metric, absence(&error))),
        };
        put(&LOADS, &mut self.load);
        put(&[Metric::Uptime], &mut self.uptime);
    }

    /// The sockets, with the slowdowns that their first processor counts for them.
    fn packages(&self, batch: &mut Batch) -> Vec<Gauges> {
        let folder = self.roots.sys.join("devices/system/cpu");
        let mut firsts = BTreeMap::new();
        for name in names(&folder, |name| numbered(name, "cpu").is_some()) {
            let package = word(&folder.join(&name).join("topology/physical_package_id"));
            if let Ok(package) = package.parse::<u32>() {
                firsts.entry(package).or_insert(name);
            }
        }
        let text = std::fs::read_to_string(self.roots.proc.join("cpuinfo")).unwrap_or_default();
        let named =
            text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        let model = named.map_or(String::new(), |(_, name)| name.trim().to_owned());
        let gauges = |(package, first): (u32, String)| {
            let info = DeviceInfo {
                name: format!("package{package}"),
                model: model.clone(),
                ..DeviceInfo::new(DeviceKind::Package, package.to_string())
            };
            let path = folder.join(first).join("thermal_throttle/package_throttle_count");
            Gauges {
                slot: batch.device(info),
                files: Gauge::found(Metric::PackageThrottles, path, 1.0).into_iter().collect(),
            }
        };
        firsts.into_iter().map(gauges).collect()
    }
}

/// Puts a word that should be a number.
fn set(slot: Slot, metric: Metric, word: &str, scale: f64, batch: &mut Batch) {
    match word.parse::<f64>() {
        Ok(number) => batch.set(slot, metric, number * scale),
        Err(_) => batch.absent(slot, metric, Absence::Implausible),
    }
}

impl Collector for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let node = match self.node {
            Some(node) => node,
            None => {
                self.packages = self.packages(batch);
                *self.node.insert(batch.device(node(&self.roots)))
            }
        };
        self.cores.iter_mut().flatten().for_each(|core| core.seen = false);
        self.stat(node, batch)?;
        for place in &mut self.cores {
            match place {
                Some(core) if !core.seen => {
                    batch.gone(core.slot, now);
                    *place = None;
                }
                Some(core) => core.files.iter_mut().for_each(|file| file.read(core.slot, batch)),
                None => {}
            }
        }
        self.schedstat(batch);
        self.loads(node, batch);
        self.packages.iter_mut().for_each(|package| package.read(batch));
        Ok(())
    }
}
