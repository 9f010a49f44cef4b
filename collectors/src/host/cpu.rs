//! Processors: time by mode, clock, run-queue delay, slowdowns; load, tasks, context switches of the node.
use super::file::{Gauge, Gauges, Kept, absence, names, numbered, word};
use super::{core, node};
use crate::{Options, Roots};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;

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

/// The present clock of a processor, and what it is measured against.
#[derive(Debug)]
struct Clock {
    present: Kept,
    /// Its base clock, or the highest where the driver tells of no base (acpi-cpufreq, amd-pstate), in kilohertz;
    /// Documentation/admin-guide/pm/cpufreq and intel_pstate.
    base_khz: Option<f64>,
}

impl Clock {
    fn found(folder: &Path) -> Option<Self> {
        let path = folder.join("scaling_cur_freq");
        let khz = |name: &str| word(&folder.join(name)).parse().ok().filter(|khz: &f64| *khz > 0.0);
        let base_khz = || khz("base_frequency").or_else(|| khz("cpuinfo_max_freq"));
        path.exists().then(|| Self { present: Kept::new(path), base_khz: base_khz() })
    }

    fn read(&mut self, slot: Slot, batch: &mut Batch) {
        match self.present.number() {
            Ok(khz) => {
                batch.set(slot, Metric::CoreFrequency, khz * 1e3);
                // A clock of 0 is a driver that cannot tell, which is no clock at all.
                if let Some(base_khz) = self.base_khz.filter(|_| khz > 0.0) {
                    batch.set(slot, Metric::CoreFrequencyRatio, khz / base_khz);
                }
            }
            Err(error) => {
                batch.absent(slot, Metric::CoreFrequency, absence(&error));
                batch.absent(slot, Metric::CoreFrequencyRatio, absence(&error));
            }
        }
    }
}

#[derive(Debug)]
struct Core {
    slot: Slot,
    clock: Option<Clock>,
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
            let clock = Clock::found(&folder.join("cpufreq"));
            let files = Gauge::found(Metric::CoreThrottles, throttles, 1.0).into_iter().collect();
            Core { slot: batch.device(core(number)), clock, files, idle: [0.0; 2], seen: true }
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
                Some(core) => {
                    core.clock.iter_mut().for_each(|clock| clock.read(core.slot, batch));
                    core.files.iter_mut().for_each(|file| file.read(core.slot, batch));
                }
                None => {}
            }
        }
        self.schedstat(batch);
        self.loads(node, batch);
        self.packages.iter_mut().for_each(|package| package.read(batch));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Reading;
    use std::fs;

    /// The normalised clock of a processor with these files in `cpufreq`.
    fn ratio(files: &[(&str, &str)]) -> Option<Reading> {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("sys/devices/system/cpu/cpu0/cpufreq");
        for folder in [&folder, &tree.path().join("proc")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(tree.path().join("proc/stat"), "cpu0 1 2 3 4\n").unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let options = Options { roots: Roots::below(tree.path()), ..Options::default() };
        let (mut source, mut batch) = (open(&options).unwrap().unwrap(), Batch::default());
        source.collect(Timestamp::default(), &mut batch).unwrap();
        let (slot, _) = batch.devices().find(|(_, info)| info.kind == DeviceKind::Core).unwrap();
        batch.reading(slot, Metric::CoreFrequencyRatio)
    }

    #[test]
    fn a_clock_is_measured_against_its_base_and_where_none_is_told_against_the_highest() {
        let (now, base, most) = (
            ("scaling_cur_freq", "3000000\n"),
            ("base_frequency", "2000000\n"),
            ("cpuinfo_max_freq", "4000000\n"),
        );
        assert_eq!(ratio(&[now, base, most]), Some(Reading::Value(1.5)));
        assert_eq!(ratio(&[now, most]), Some(Reading::Value(0.75)));
    }

    #[test]
    fn a_clock_without_a_measure_or_that_is_not_told_is_no_ratio() {
        let (now, base) = (("scaling_cur_freq", "3000000\n"), ("base_frequency", "2000000\n"));
        assert_eq!(ratio(&[now]), None);
        assert_eq!(ratio(&[base]), None);
        assert_eq!(ratio(&[now, ("base_frequency", "0\n")]), None);
        assert_eq!(ratio(&[("scaling_cur_freq", "0\n"), base]), None);
        let broken = ratio(&[("scaling_cur_freq", "<unknown>\n"), base]);
        assert_eq!(broken, Some(Reading::Absent(Absence::Implausible)));
    }
}
