//! The files of one group, for both versions of the interface, Documentation/admin-guide/cgroup-v1 and cgroup-v2.
use super::discover::Hierarchy;
use crate::host::file::{Kept, absence};
use crate::host::pressure;
use model::{Absence, Batch, Metric, Slot};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Limits from here on are version 1's way of saying that there is none.
const NO_LIMIT: f64 = (1_u64 << 60) as f64;

/// How a file is read.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// One number, scaled; version 2 writes `max` for none.
    Number(Metric, f64),
    /// Lines of a name and a number.
    Table(&'static [(&'static str, Metric, f64)]),
    /// Pressure; only the total of `some`.
    Pressure(Metric),
}

const MICRO: f64 = 1e-6;
const NANO: f64 = 1e-9;

/// File, form; version 2.
const UNIFIED: &[(&str, Form)] = &[
    (
        "cpu.stat",
        Form::Table(&[
            ("usage_usec", Metric::CgroupCpu, MICRO),
            ("user_usec", Metric::CgroupCpuUser, MICRO),
            ("system_usec", Metric::CgroupCpuSystem, MICRO),
            ("nr_periods", Metric::CgroupPeriods, 1.0),
            ("nr_throttled", Metric::CgroupPeriodsThrottled, 1.0),
            ("throttled_usec", Metric::CgroupThrottled, MICRO),
        ]),
    ),
    ("memory.current", Form::Number(Metric::CgroupMemory, 1.0)),
    ("memory.max", Form::Number(Metric::CgroupMemoryLimit, 1.0)),
    ("memory.events", Form::Table(&[("oom_kill", Metric::CgroupOomKills, 1.0)])),
    ("pids.current", Form::Number(Metric::CgroupPids, 1.0)),
    ("cpu.pressure", Form::Pressure(Metric::CgroupPressureCpu)),
    ("memory.pressure", Form::Pressure(Metric::CgroupPressureMemory)),
    ("io.pressure", Form::Pressure(Metric::CgroupPressureIo)),
];

/// Controllers (the first that is mounted), file, form; version 1. `cpuacct.stat` counts in ticks of a hundredth.
const SPLIT: &[(&[&str], &str, Form)] = &[
    (&["cpuacct", "cpu,cpuacct"], "cpuacct.usage", Form::Number(Metric::CgroupCpu, NANO)),
    (
        &["cpuacct", "cpu,cpuacct"],
        "cpuacct.stat",
        Form::Table(&[("user", Metric::CgroupCpuUser, 0.01), ("system", Metric::CgroupCpuSystem, 0.01)]),
    ),
    (
        &["cpu", "cpu,cpuacct"],
        "cpu.stat",
        Form::Table(&[
            ("nr_periods", Metric::CgroupPeriods, 1.0),
            ("nr_throttled", Metric::CgroupPeriodsThrottled, 1.0),
            ("throttled_time", Metric::CgroupThrottled, NANO),
        ]),
    ),
    (&["memory"], "memory.usage_in_bytes", Form::Number(Metric::CgroupMemory, 1.0)),
    (&["memory"], "memory.limit_in_bytes", Form::Number(Metric::CgroupMemoryLimit, 1.0)),
    (&["memory"], "memory.oom_control", Form::Table(&[("oom_kill", Metric::CgroupOomKills, 1.0)])),
    (&["pids"], "pids.current", Form::Number(Metric::CgroupPids, 1.0)),
];

/// The open files of a group.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<(Kept, Form)>,
}

impl Files {
    /// The files of the group at `path` below the hierarchy.
    pub(super) fn open(hierarchy: &Hierarchy, path: &str) -> Self {
        let files = match hierarchy {
            Hierarchy::Unified(mount) => {
                UNIFIED.iter().map(|(file, form)| (Kept::new(mount.join(path).join(file)), *form)).collect()
            }
            Hierarchy::Split(mount) => {
                let tree = |names: &[&str]| -> PathBuf {
                    let there = names.iter().map(|name| mount.join(name)).find(|tree| tree.is_dir());
                    there.unwrap_or_else(|| mount.join(names[0]))
                };
                SPLIT
                    .iter()
                    .map(|(trees, file, form)| (Kept::new(tree(trees).join(path).join(file)), *form))
                    .collect()
            }
        };
        Self { files }
    }

    /// Reads every file; `false` when the group has vanished.
    pub(super) fn read(&mut self, slot: Slot, batch: &mut Batch) -> bool {
        let mut answers = 0;
        let mut vanished = false;
        for (file, form) in &mut self.files {
            match read(file, *form, slot, batch) {
                Ok(()) => answers += 1,
                Err(error) => {
                    // A file of a removed group that is still open says ENODEV.
                    vanished |= error.raw_os_error() == Some(libc::ENODEV);
                    absent(*form, slot, absence(&error), batch);
                }
            }
        }
        // A file that is not there belongs to a controller that is not enabled, unless all are gone.
        self.files.retain(|(file, _)| file.there());
        answers > 0 && !vanished
    }
}

fn absent(form: Form, slot: Slot, why: Absence, batch: &mut Batch) {
    match form {
        Form::Number(metric, _) | Form::Pressure(metric) => batch.absent(slot, metric, why),
        Form::Table(rows) => rows.iter().for_each(|(_, metric, _)| batch.absent(slot, *metric, why)),
    }
}

fn read(file: &mut Kept, form: Form, slot: Slot, batch: &mut Batch) -> io::Result<()> {
    let text = file.text()?;
    let malformed = || io::Error::new(ErrorKind::InvalidData, "not a number");
    match form {
        Form::Number(metric, scale) => {
            if text.trim() == "max" {
                batch.absent(slot, metric, Absence::Unsupported);
                return Ok(());
            }
            let number: f64 = text.trim().parse().map_err(|_| malformed())?;
            if metric == Metric::CgroupMemoryLimit && number >= NO_LIMIT {
                batch.absent(slot, metric, Absence::Unsupported);
            } else {
                batch.set(slot, metric, number * scale);
            }
        }
        Form::Table(rows) => {
            for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
                if let Some((_, metric, scale)) = rows.iter().find(|(known, ..)| *known == name) {
                    let number: f64 = value.trim().parse().map_err(|_| malformed())?;
                    batch.set(slot, *metric, number * scale);
                }
            }
        }
        Form::Pressure(metric) => {
            let line = text.lines().find(|line| line.starts_with("some")).ok_or_else(malformed)?;
            let (total_s, _) = pressure::parse(line).ok_or_else(malformed)?;
            batch.set(slot, metric, total_s);
        }
    }
    Ok(())
}
