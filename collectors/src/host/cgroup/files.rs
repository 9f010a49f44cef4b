//! The files of one group, for both versions of the interface, Documentation/admin-guide/cgroup-v1 and cgroup-v2.
use super::discover::Hierarchy;
use crate::host::file::{Kept, absence};
use crate::host::pressure;
use model::{Absence, Batch, Metric, Slot};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Limits from here on are version 1's way of saying that there is none: it writes the largest number of whole pages
/// below 2^63 (`PAGE_COUNTER_MAX`, include/linux/page_counter.h).
const NO_LIMIT: f64 = (1_u64 << 62) as f64;

/// How a file is read.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// One number, scaled; version 2 writes `max` for none.
    Number(Metric, f64),
    /// Lines of a name and a number.
    Table(&'static [(&'static str, Metric, f64)]),
    /// The same in ticks of the clock.
    Ticks(&'static [(&'static str, Metric)]),
    /// Pressure; only the total of `some`.
    Pressure(Metric),
    /// Lines of a device and words `name=number`, version 2; sums over the devices.
    Devices(&'static [(&'static str, Metric)]),
    /// Lines of a device, `Read` or `Write`, and a number, version 1; sums over the devices.
    Throttle(&'static [(&'static str, Metric)]),
    /// `memory.stat`.
    Memory,
    /// A quota in microseconds and, behind it or in a file beside, its period.
    Quota,
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
    ("cpu.max", Form::Quota),
    ("memory.current", Form::Number(Metric::CgroupMemory, 1.0)),
    ("memory.max", Form::Number(Metric::CgroupMemoryLimit, 1.0)),
    ("memory.events", Form::Table(&[("oom_kill", Metric::CgroupOomKills, 1.0)])),
    ("pids.current", Form::Number(Metric::CgroupPids, 1.0)),
    ("cpu.pressure", Form::Pressure(Metric::CgroupPressureCpu)),
    ("memory.pressure", Form::Pressure(Metric::CgroupPressureMemory)),
    ("io.pressure", Form::Pressure(Metric::CgroupPressureIo)),
    (
        "io.stat",
        Form::Devices(&[
            ("rbytes", Metric::CgroupStorageRead),
            ("wbytes", Metric::CgroupStorageWritten),
            ("rios", Metric::CgroupStorageReads),
            ("wios", Metric::CgroupStorageWrites),
        ]),
    ),
    ("memory.stat", Form::Memory),
    // After memory.stat, which has the swap of version 1 only.
    ("memory.swap.current", Form::Number(Metric::CgroupSwap, 1.0)),
];

/// The file of a quota; version 1.
const SPLIT_QUOTA: &str = "cpu.cfs_quota_us";

/// Controllers (the first that is mounted), file, form; version 1.
const SPLIT: &[(&[&str], &str, Form)] = &[
    (&["cpuacct", "cpu,cpuacct"], "cpuacct.usage", Form::Number(Metric::CgroupCpu, NANO)),
    (
        &["cpuacct", "cpu,cpuacct"],
        "cpuacct.stat",
        Form::Ticks(&[("user", Metric::CgroupCpuUser), ("system", Metric::CgroupCpuSystem)]),
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
    (&["cpu", "cpu,cpuacct"], SPLIT_QUOTA, Form::Quota),
    (&["memory"], "memory.usage_in_bytes", Form::Number(Metric::CgroupMemory, 1.0)),
    (&["memory"], "memory.limit_in_bytes", Form::Number(Metric::CgroupMemoryLimit, 1.0)),
    (&["memory"], "memory.oom_control", Form::Table(&[("oom_kill", Metric::CgroupOomKills, 1.0)])),
    (&["pids"], "pids.current", Form::Number(Metric::CgroupPids, 1.0)),
    (
        &["blkio"],
        "blkio.throttle.io_service_bytes",
        Form::Throttle(&[("Read", Metric::CgroupStorageRead), ("Write", Metric::CgroupStorageWritten)]),
    ),
    (
        &["blkio"],
        "blkio.throttle.io_serviced",
        Form::Throttle(&[("Read", Metric::CgroupStorageReads), ("Write", Metric::CgroupStorageWrites)]),
    ),
    (&["memory"], "memory.stat", Form::Memory),
];

/// Rows of `memory.stat`: the name in version 2, that in version 1, the metric. All page faults come first, major ones second.
const MEMORY: [(&str, &str, Metric); 8] = [
    ("pgfault", "pgfault", Metric::CgroupFaultsMinor),
    ("pgmajfault", "pgmajfault", Metric::CgroupFaultsMajor),
    ("anon", "rss", Metric::CgroupAnonymous),
    ("file", "cache", Metric::CgroupFile),
    ("shmem", "shmem", Metric::CgroupShared),
    ("slab_reclaimable", "", Metric::CgroupSlabReclaimable),
    ("slab_unreclaimable", "", Metric::CgroupSlabUnreclaimable),
    ("", "swap", Metric::CgroupSwap),
];

/// One file of a group.
#[derive(Debug)]
struct Member {
    path: PathBuf,
    file: Kept,
    /// Version 1 keeps the period of a quota in a file of its own.
    period: Option<Kept>,
    form: Form,
    state: State,
}

impl Member {
    fn new(path: PathBuf, form: Form) -> Self {
        let split = matches!(form, Form::Quota) && path.ends_with(SPLIT_QUOTA);
        let period = split.then(|| Kept::new(path.with_file_name("cpu.cfs_period_us")));
        Self { file: Kept::new(path.clone()), period, path, form, state: State::Kept }
    }
}

/// How the last reading of a file went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was read, or may be the next time.
    Kept,
    /// It is not there: the controller is not enabled for the group, or not yet.
    Missing,
    /// It was there and is not any more.
    Vanished,
}

impl State {
    /// What an error says. A file of a removed group that is still open answers ENODEV, whether or not a group of the
    /// same name has taken its place.
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENODEV) => Self::Vanished,
            _ if error.kind() == ErrorKind::NotFound => Self::Missing,
            _ => Self::Kept,
        }
    }
}

/// The open files of a group, each opened once: twelve on either version.
#[derive(Debug)]
pub(super) struct Files {
    members: Vec<Member>,
}

impl Files {
    /// The files of the group at `path` below the hierarchy.
    pub(super) fn new(hierarchy: &Hierarchy, path: &str) -> Self {
        let members = match hierarchy {
            Hierarchy::Unified(mount) => {
                UNIFIED.iter().map(|(file, form)| Member::new(mount.join(path).join(file), *form)).collect()
            }
            Hierarchy::Split(mount) => {
                let tree = |names: &[&str]| -> PathBuf {
                    let there = names.iter().map(|name| mount.join(name)).find(|tree| tree.is_dir());
                    there.unwrap_or_else(|| mount.join(names[0]))
                };
                let path_of = |trees: &[&str], file: &str| {
                    let tree = tree(trees);
                    // Older kernels count storage only without the groups below.
                    let recursive = format!("{file}_recursive");
                    let file = if tree.join(&recursive).exists() { recursive.as_str() } else { file };
                    tree.join(path).join(file)
                };
                SPLIT.iter().map(|(trees, file, form)| Member::new(path_of(trees, file), *form)).collect()
            }
        };
        Self { members }
    }

    /// Reads every file that is there; `false` when one has vanished, and with it, most likely, the group.
    pub(super) fn read(&mut self, slot: Slot, batch: &mut Batch) -> bool {
        for member in self.members.iter_mut().filter(|member| member.state != State::Missing) {
            member.state = State::Kept;
            if let Err(error) = member.read(slot, batch) {
                member.state = State::of(&error);
                absent(member.form, slot, absence(&error), batch);
            }
        }
        self.members.iter().all(|member| member.state != State::Vanished)
    }

    /// Looks again for what is not open: a controller may have been enabled since, and on version 1 the group's
    /// folders are made one after the other. What vanished is taken for new.
    pub(super) fn look_again(&mut self) {
        for member in self.members.iter_mut().filter(|member| !member.file.there()) {
            *member = Member::new(member.path.clone(), member.form);
        }
    }
}

fn absent(form: Form, slot: Slot, why: Absence, batch: &mut Batch) {
    match form {
        Form::Number(metric, _) | Form::Pressure(metric) => batch.absent(slot, metric, why),
        Form::Table(rows) => rows.iter().for_each(|(_, metric, _)| batch.absent(slot, *metric, why)),
        Form::Ticks(rows) | Form::Devices(rows) | Form::Throttle(rows) => {
            rows.iter().for_each(|(_, metric)| batch.absent(slot, *metric, why));
        }
        Form::Memory => MEMORY.iter().for_each(|(.., metric)| batch.absent(slot, *metric, why)),
        Form::Quota => batch.absent(slot, Metric::CgroupQuota, why),
    }
}

fn malformed() -> io::Error {
    // From a kind alone: a file that stays damaged must not cost an allocation on every beat.
    ErrorKind::InvalidData.into()
}

fn number(text: &str) -> io::Result<f64> {
    text.trim().parse().map_err(|_| malformed())
}

impl Member {
    fn read(&mut self, slot: Slot, batch: &mut Batch) -> io::Result<()> {
        match &mut self.period {
            Some(period) => {
                let period_us = number(period.text()?)?;
                quota(self.file.text()?, period_us, slot, batch)
            }
            None => read(&mut self.file, self.form, slot, batch),
        }
    }
}

/// A quota in cores; a group that has none says `max` or -1.
fn quota(text: &str, period_us: f64, slot: Slot, batch: &mut Batch) -> io::Result<()> {
    let quota_us = if text.trim() == "max" { -1.0 } else { number(text)? };
    match quota_us {
        _ if period_us < 1.0 || quota_us == 0.0 => return Err(malformed()),
        none if none < 0.0 => batch.absent(slot, Metric::CgroupQuota, Absence::Unsupported),
        quota_us => batch.set(slot, Metric::CgroupQuota, quota_us / period_us),
    }
    Ok(())
}

fn read(file: &mut Kept, form: Form, slot: Slot, batch: &mut Batch) -> io::Result<()> {
    let text = file.text()?;
    match form {
        Form::Quota => {
            let (us, period_us) = text.trim().split_once(' ').ok_or_else(malformed)?;
            quota(us, number(period_us)?, slot, batch)?;
        }
        Form::Number(metric, scale) => {
            if text.trim() == "max" {
                batch.absent(slot, metric, Absence::Unsupported);
                return Ok(());
            }
            let number = number(text)?;
            if metric == Metric::CgroupMemoryLimit && number >= NO_LIMIT {
                batch.absent(slot, metric, Absence::Unsupported);
            } else {
                batch.set(slot, metric, number * scale);
            }
        }
        Form::Table(rows) => {
            for (name, value) in lines(text) {
                if let Some((_, metric, scale)) = rows.iter().find(|(known, ..)| *known == name) {
                    batch.set(slot, *metric, number(value)? * scale);
                }
            }
        }
        Form::Ticks(rows) => {
            // USER_HZ, in which version 1 counts.
            let ticks = rustix::param::clock_ticks_per_second() as f64;
            for (name, value) in lines(text) {
                if let Some((_, metric)) = rows.iter().find(|(known, _)| *known == name) {
                    batch.set(slot, *metric, number(value)? / ticks);
                }
            }
        }
        Form::Pressure(metric) => {
            let line = text.lines().find(|line| line.starts_with("some")).ok_or_else(malformed)?;
            let (total_s, _) = pressure::parse(line).ok_or_else(malformed)?;
            batch.set(slot, metric, total_s);
        }
        Form::Devices(rows) => {
            for (name, metric) in rows {
                batch.set(slot, *metric, device_words(text, name)?);
            }
        }
        Form::Throttle(rows) => {
            for (name, metric) in rows {
                batch.set(slot, *metric, device_lines(text, name)?);
            }
        }
        Form::Memory => memory(text, slot, batch)?,
    }
    Ok(())
}

/// `8:16 rbytes=1 wbytes=2`: the sum of one word over the devices. Only whole disks are listed; a group that moved
/// nothing has no line.
fn device_words(text: &str, name: &str) -> io::Result<f64> {
    let value = |word: &str| word.strip_prefix(name)?.strip_prefix('=').map(number);
    text.split_ascii_whitespace().filter_map(value).try_fold(0.0, |sum, value| Ok(sum + value?))
}

/// `8:16 Read 1`: the sum of one direction over the devices.
fn device_lines(text: &str, name: &str) -> io::Result<f64> {
    let value = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        (words.next() == Some(name)).then(|| words.next().ok_or_else(malformed).and_then(number))
    };
    text.lines().filter_map(value).try_fold(0.0, |sum, value| Ok(sum + value?))
}

/// The rows of `memory.stat`, in one pass; on version 1 those that count the groups below as well, where there are any. Faults must
/// be there; a use that the kernel does not tell stays unsupported.
fn memory(text: &str, slot: Slot, batch: &mut Batch) -> io::Result<()> {
    let mut rows = [None; MEMORY.len()];
    for (name, value) in lines(text) {
        let (known, whole) = name.strip_prefix("total_").map_or((name, false), |known| (known, true));
        let place = MEMORY.iter().position(|(new, old, _)| known == *new || known == *old);
        let Some(place) = place.filter(|place| whole || rows[*place].is_none()) else { continue };
        rows[place] = Some(number(value)?);
    }
    let (all, major) = (rows[0].ok_or_else(malformed)?, rows[1].ok_or_else(malformed)?);
    rows[0] = Some(all - major);
    for ((.., metric), value) in MEMORY.iter().zip(rows) {
        if let Some(value) = value {
            batch.set(slot, *metric, value);
        }
    }
    Ok(())
}

/// The lines of a name and a value.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_there_can_vanish() {
        let state = |code| State::of(&io::Error::from_raw_os_error(code));
        assert_eq!(state(libc::ENODEV), State::Vanished);
        assert_eq!(state(libc::ENOENT), State::Missing);
        for code in [libc::EIO, libc::EACCES, libc::EMFILE, libc::ENOMEM] {
            assert_eq!(state(code), State::Kept, "{code}: it is tried again");
        }
        assert_eq!(State::of(&malformed()), State::Kept);
    }
}
