//! Tests of what tasks, processes and storage of groups add up to: on trees of both versions, and on this machine.
use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};

const GROUP: &str = "lab.slice/victim.service";
const NAME: &str = "victim.service";

/// A group of either version, its tasks and their procfs.
struct Lab {
    home: tempfile::TempDir,
    unified: bool,
}

impl Lab {
    fn new(unified: bool) -> Self {
        let lab = Self { home: tempfile::tempdir().unwrap(), unified };
        if unified {
            lab.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n");
        }
        lab.uptime(10);
        lab.list(&[]);
        lab
    }

    fn both() -> [Self; 2] {
        [true, false].map(Self::new)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A file of the group, by the tree it is in on version 1.
    fn file(&self, tree: &str, name: &str, text: &str) {
        let tree = if self.unified { "" } else { tree };
        self.write(&format!("sys/fs/cgroup/{tree}/{GROUP}/{name}"), text);
    }

    /// Who is in the group; every task is a process.
    fn list(&self, tasks: &[u32]) {
        let text: String = tasks.iter().map(|task| format!("{task}\n")).collect();
        self.file("cpuacct", if self.unified { "cgroup.threads" } else { "tasks" }, &text);
        self.file("cpuacct", "cgroup.procs", &text);
    }

    /// Seconds since the boot.
    fn uptime(&self, seconds: u64) {
        self.write("proc/uptime", &format!("{seconds}.00 1.00\n"));
    }

    /// A task that started `second` seconds after the boot; a hundred ticks each.
    fn start(&self, task: u32, second: u64) {
        let ticks = second * rustix::param::clock_ticks_per_second();
        let zeros = "0 ".repeat(18);
        self.write(&format!("proc/{task}/stat"), &format!("{task} (a ) b) S {zeros}{ticks} 0 0\n"));
    }

    /// It ran and waited so many seconds, made as many calls of ten bytes, and moved as many pages, one in four of the written ones
    /// for nothing.
    fn did(&self, task: u32, ran: u64, waited: u64) {
        let scheduled = format!("{} {} {}\n", ran * 1_000_000_000, waited * 1_000_000_000, ran + waited);
        self.write(&format!("proc/{task}/schedstat"), &scheduled);
        let called = format!("rchar: {}\nwchar: {}\nsyscr: {ran}\nsyscw: {waited}\n", 10 * ran, 10 * waited);
        let stored = [4096 * ran, 4096 * waited, 1024 * waited];
        let called = format!(
            "{called}read_bytes: {}\nwrite_bytes: {}\ncancelled_write_bytes: {}\n",
            stored[0], stored[1], stored[2]
        );
        self.write(&format!("proc/{task}/io"), &called);
    }

    fn host(&self) -> Host {
        Host::new(self.home.path(), 8)
    }

    /// A beat of the host at a second after the boot.
    fn beat(&self, host: &mut Host, second: u64) {
        self.uptime(second);
        host.at(second);
    }
}

fn check_tasks(host: &Host, ran: f64, waited: f64) {
    let scheduled = [
        (Metric::CgroupRun, ran),
        (Metric::CgroupRunDelay, waited),
        (Metric::CgroupTimeslices, ran + waited),
    ];
    host.check(NAME, &scheduled);
    check_calls(host, ran, waited);
}

fn check_calls(host: &Host, reads: f64, writes: f64) {
    let called = [
        (Metric::CgroupReadCalls, reads),
        (Metric::CgroupWriteCalls, writes),
        (Metric::CgroupReadCallBytes, 10.0 * reads),
        (Metric::CgroupWriteCallBytes, 10.0 * writes),
        (Metric::CgroupProcessRead, 4096.0 * reads),
        (Metric::CgroupProcessWritten, 4096.0 * writes),
        (Metric::CgroupProcessCancelled, 1024.0 * writes),
    ];
    host.check(NAME, &called);
}

fn check_absent(host: &Host, metrics: &[Metric], why: Absence) {
    for metric in metrics {
        assert_eq!(host.get(NAME, *metric), Some(Reading::Absent(why)), "{metric}");
    }
}

const SCHEDULED: [Metric; 3] = [Metric::CgroupRun, Metric::CgroupRunDelay, Metric::CgroupTimeslices];
const CALLED: [Metric; 7] = [
    Metric::CgroupReadCalls,
    Metric::CgroupWriteCalls,
    Metric::CgroupReadCallBytes,
    Metric::CgroupWriteCallBytes,
    Metric::CgroupProcessRead,
    Metric::CgroupProcessWritten,
    Metric::CgroupProcessCancelled,
];

/// A group that has been followed since second 10 with task 7, which had run 5 s and waited 3 s before.
fn followed(lab: &Lab) -> Host {
    lab.start(7, 1);
    lab.did(7, 5, 3);
    lab.list(&[7]);
    let mut host = lab.host();
    lab.beat(&mut host, 10);
    check_tasks(&host, 0.0, 0.0);
    host
}

#[test]
fn what_tasks_add_is_summed_and_one_that_ends_takes_nothing_back() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        lab.did(7, 7, 4);
        lab.beat(&mut host, 11);
        check_tasks(&host, 2.0, 1.0);
        lab.list(&[]);
        lab.beat(&mut host, 12);
        check_tasks(&host, 2.0, 1.0);
    }
}

#[test]
fn a_task_that_joins_brings_what_it_did_only_if_it_started_since_the_beat_before() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        lab.start(8, 2);
        lab.did(8, 9, 9);
        lab.start(9, 11);
        lab.did(9, 1, 2);
        lab.list(&[9, 8, 7]);
        lab.beat(&mut host, 12);
        check_tasks(&host, 1.0, 2.0);
        lab.did(8, 10, 9);
        lab.beat(&mut host, 13);
        check_tasks(&host, 2.0, 2.0);
    }
}

#[test]
fn a_number_that_is_given_to_another_task_begins_anew() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        lab.start(7, 11);
        lab.did(7, 1, 1);
        lab.beat(&mut host, 12);
        check_tasks(&host, 1.0, 1.0);
        // One that was there before and took the number by other ways brings nothing.
        lab.start(7, 1);
        lab.did(7, 0, 1);
        lab.beat(&mut host, 13);
        check_tasks(&host, 1.0, 1.0);
    }
}

#[test]
fn a_task_that_vanishes_after_it_was_listed_stops_nothing_and_one_that_stays_hidden_does() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        lab.list(&[7, 8]);
        lab.did(7, 6, 3);
        lab.beat(&mut host, 11);
        check_tasks(&host, 1.0, 0.0);
        lab.beat(&mut host, 12);
        check_absent(&host, &SCHEDULED, Absence::Denied);
        lab.list(&[7]);
        lab.did(7, 8, 3);
        lab.beat(&mut host, 13);
        check_tasks(&host, 1.0, 0.0);
    }
}

#[test]
fn a_group_with_too_many_tasks_has_no_sums_until_it_has_fewer() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        let crowd = |count: u32| {
            let tasks: Vec<u32> = (7..7 + count).collect();
            tasks.iter().for_each(|task| {
                lab.start(*task, 1);
                lab.did(*task, 20, 20);
            });
            lab.list(&tasks);
        };
        crowd(17);
        lab.beat(&mut host, 11);
        check_absent(&host, &CALLED, Absence::Unsupported);
        host.check(NAME, &[(Metric::CgroupRun, 15.0), (Metric::CgroupRunDelay, 17.0)]);
        crowd(65);
        lab.beat(&mut host, 12);
        check_absent(&host, &SCHEDULED, Absence::Unsupported);
        crowd(2);
        lab.beat(&mut host, 13);
        host.check(NAME, &[(Metric::CgroupRun, 15.0), (Metric::CgroupRunDelay, 17.0)]);
        lab.did(7, 21, 20);
        lab.beat(&mut host, 14);
        host.check(NAME, &[(Metric::CgroupRun, 16.0), (Metric::CgroupReadCalls, 1.0)]);
    }
}

#[test]
fn a_group_with_groups_below_has_no_sums_of_a_part() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        lab.write(&format!("sys/fs/cgroup/{}/{GROUP}/below/x", if lab.unified { "" } else { "cpuacct" }), "");
        lab.beat(&mut host, 21);
        check_absent(&host, &SCHEDULED, Absence::Unsupported);
        check_absent(&host, &CALLED, Absence::Unsupported);
    }
}

#[test]
fn calls_that_may_not_be_read_are_denied_and_the_rest_goes_on() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        let io = lab.home.path().join("proc/8/io");
        lab.start(8, 11);
        lab.did(8, 1, 1);
        fs::set_permissions(io, fs::Permissions::from_mode(0o000)).unwrap();
        lab.list(&[7, 8]);
        lab.uptime(12);
        fs::set_permissions(lab.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // SAFETY: it changes only as whom this thread opens files; root reads whatever the mode says.
        let own = unsafe { libc::setfsuid(65_534) };
        host.at(12);
        // SAFETY: as above, the way back.
        unsafe { libc::setfsuid(own.unsigned_abs()) };
        check_absent(&host, &CALLED, Absence::Denied);
        host.check(NAME, &[(Metric::CgroupRun, 1.0)]);
    }
}

#[test]
fn numbers_that_the_kernel_does_not_keep_are_not_zero() {
    for lab in Lab::both() {
        let mut host = followed(&lab);
        lab.write("proc/7/schedstat", "0 0 0\n");
        lab.beat(&mut host, 11);
        check_absent(&host, &SCHEDULED, Absence::Unsupported);
        lab.write("proc/7/schedstat", "some words\n");
        lab.beat(&mut host, 12);
        check_absent(&host, &SCHEDULED, Absence::Implausible);
        check_calls(&host, 0.0, 0.0);
    }
}

#[test]
fn a_task_of_another_namespace_is_seen_and_not_counted_as_nothing() {
    let lab = Lab::new(true);
    let mut host = followed(&lab);
    lab.list(&[7, 0]);
    lab.beat(&mut host, 11);
    check_absent(&host, &SCHEDULED, Absence::Unsupported);
}

#[test]
fn storage_and_faults_are_summed_over_devices() {
    for lab in Lab::both() {
        if lab.unified {
            let disk = "rbytes=10 wbytes=20 rios=1 wios=2 dbytes=99 dios=99\n";
            lab.file("", "io.stat", &format!("8:0 {disk}8:16 {disk}"));
            lab.file("", "memory.stat", "anon 5\npgfault 30\npgmajfault 10\n");
        } else {
            let lines = |read: u32, write: u32| {
                let disk =
                    |n| format!("8:{n} Read {read}\n8:{n} Write {write}\n8:{n} Sync 9\n8:{n} Total 9\n");
                format!("{}{}Total 9\n", disk(0), disk(16))
            };
            lab.file("blkio", "blkio.throttle.io_service_bytes", &lines(10, 20));
            lab.file("blkio", "blkio.throttle.io_serviced", &lines(1, 2));
            let faults = "pgfault 1\npgmajfault 1\ntotal_pgfault 30\ntotal_pgmajfault 10\n";
            lab.file("memory", "memory.stat", faults);
        }
        let mut host = lab.host();
        lab.beat(&mut host, 10);
        let expected = [
            (Metric::CgroupStorageRead, 20.0),
            (Metric::CgroupStorageWritten, 40.0),
            (Metric::CgroupStorageReads, 2.0),
            (Metric::CgroupStorageWrites, 4.0),
            (Metric::CgroupFaultsMinor, 20.0),
            (Metric::CgroupFaultsMajor, 10.0),
        ];
        host.check(NAME, &expected);
    }
}

#[test]
fn memory_is_told_by_use_and_what_a_version_does_not_count_is_not_zero() {
    for lab in Lab::both() {
        let faults = "pgfault 1\npgmajfault 0\n";
        if lab.unified {
            let uses = "anon 5\nfile 40\nshmem 7\nslab_reclaimable 3\nslab_unreclaimable 2\nslab 5\n";
            lab.file("", "memory.stat", &format!("{uses}{faults}"));
            lab.file("", "memory.swap.current", "9\n");
        } else {
            let uses =
                "cache 1\nrss 1\ntotal_cache 40\ntotal_rss 5\ntotal_shmem 7\nshmem 1\ntotal_swap 9\nswap 1\n";
            lab.file("memory", "memory.stat", &format!("{uses}{faults}"));
        }
        let mut host = lab.host();
        lab.beat(&mut host, 10);
        let both = [
            (Metric::CgroupAnonymous, 5.0),
            (Metric::CgroupFile, 40.0),
            (Metric::CgroupShared, 7.0),
            (Metric::CgroupSwap, 9.0),
        ];
        host.check(NAME, &both);
        let slabs = [(Metric::CgroupSlabReclaimable, 3.0), (Metric::CgroupSlabUnreclaimable, 2.0)];
        if lab.unified {
            host.check(NAME, &slabs);
        } else {
            for (metric, _) in slabs {
                assert_eq!(host.get(NAME, metric), None, "what is not set is unsupported");
            }
        }
    }
}

#[test]
fn storage_of_groups_below_is_counted_where_the_kernel_counts_it() {
    let lab = Lab::new(false);
    for name in ["blkio.throttle.io_service_bytes", "blkio.throttle.io_service_bytes_recursive"] {
        lab.write(&format!("sys/fs/cgroup/blkio/{name}"), "Total 0\n");
    }
    lab.file("blkio", "blkio.throttle.io_service_bytes", "8:0 Read 1\nTotal 1\n");
    lab.file("blkio", "blkio.throttle.io_service_bytes_recursive", "8:0 Read 5\nTotal 5\n");
    let mut host = lab.host();
    lab.beat(&mut host, 10);
    host.check(NAME, &[(Metric::CgroupStorageRead, 5.0), (Metric::CgroupStorageWritten, 0.0)]);
}

/// A group of this machine and two processes in it that want one processor, all gone at the end.
struct Real {
    folder: PathBuf,
    children: Vec<Child>,
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Real {
    fn start() -> std::io::Result<Self> {
        let Some(hierarchy) = Hierarchy::find(&Roots::default()) else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        let folder = hierarchy.tree().join(format!("wattkeeper-{}.service", std::process::id()));
        fs::create_dir(&folder)?;
        let mut real = Self { folder, children: Vec::new() };
        let processor = rustix::thread::sched_getcpu().to_string();
        for _ in 0..2 {
            // They end by themselves should this test be killed.
            let busy = ["-c", &processor, "sh", "-c", "ulimit -t 20; while :; do :; done"];
            let child = Command::new("taskset").args(busy).spawn()?;
            let pid = child.id().to_string();
            real.children.push(child);
            fs::write(real.folder.join("cgroup.procs"), pid)?;
        }
        Ok(real)
    }
}

#[test]
fn a_busy_process_of_this_machine_runs_and_waits() {
    let mut real = match Real::start() {
        Ok(real) => real,
        Err(error) => return eprintln!("NOTICE: skipped, because no group can be made here: {error}"),
    };
    let name = real.folder.file_name().unwrap().to_str().unwrap().to_owned();
    let options = Options { cgroups_max: 64, ..Options::default() };
    let mut host = Host { source: open(&options).unwrap().unwrap(), batch: Batch::default() };
    host.at(1);
    let value = |host: &Host, metric| host.get(&name, metric).and_then(Reading::value);
    let mut seen = (0.0, 0.0);
    // They run for a while and end by themselves, and with them the looking.
    while (seen.0 < 0.05 || seen.1 < 0.005) && real.children[0].try_wait().unwrap().is_none() {
        std::thread::yield_now();
        host.at(2);
        let read = |metric| value(&host, metric).unwrap_or(0.0);
        seen = (read(Metric::CgroupRun), read(Metric::CgroupRunDelay));
    }
    assert!(seen.0 >= 0.05 && seen.1 >= 0.005, "ran and waited {seen:?} s");
}

#[test]
fn what_a_process_of_this_machine_writes_is_its_groups() {
    let Some(hierarchy) = Hierarchy::find(&Roots::default()) else {
        return eprintln!("NOTICE: skipped, because there are no control groups here");
    };
    let name = format!("wattkeeper-io-{}.service", std::process::id());
    let mut real = Real { folder: hierarchy.tree().join(&name), children: Vec::new() };
    let home = tempfile::tempdir().unwrap();
    // The shell itself writes, so that there is no process that ends between two looks.
    let script = "read x; printf '%8388608s' ' ' > big; echo done; read x";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(home.path());
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let pid = child.id().to_string();
    real.children.push(child);
    if let Err(error) =
        fs::create_dir(&real.folder).and_then(|()| fs::write(real.folder.join("cgroup.procs"), pid))
    {
        return eprintln!("NOTICE: skipped, because no group can be made here: {error}");
    }
    let options = Options { cgroups_max: 64, ..Options::default() };
    let mut host = Host { source: open(&options).unwrap().unwrap(), batch: Batch::default() };
    host.at(1);
    std::io::Write::write_all(&mut input, b"\n").unwrap();
    std::io::Read::read_exact(&mut output, &mut [0; 5]).unwrap();
    host.at(2);
    let value = |metric| host.get(&name, metric).and_then(Reading::value);
    let (called, written) = (value(Metric::CgroupWriteCallBytes), value(Metric::CgroupProcessWritten));
    if called.is_none_or(|bytes| bytes < 8e6) || written == Some(0.0) {
        return eprintln!(
            "NOTICE: skipped, because this kernel or file system does not count what is written"
        );
    }
    assert!(written.is_some_and(|bytes| (8e6..9e6).contains(&bytes)), "{written:?}");
}

/// `cargo test -p collectors --lib -- --ignored --nocapture what_five_hundred_groups_cost`
#[test]
#[ignore = "a measurement"]
fn what_five_hundred_groups_cost() {
    const GROUPS: u32 = 500;
    let lab = Lab::new(false);
    let micros = |host: &mut Host| {
        let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let nanoseconds = |time: rustix::time::Timespec| (time.tv_sec * 1_000_000_000 + time.tv_nsec) as f64;
        // From the second look on files stay open; none of these is one that scans for groups.
        (1..3).for_each(|second| lab.beat(host, second));
        let before = nanoseconds(used());
        (3..9).for_each(|second| lab.beat(host, second));
        (nanoseconds(used()) - before) / 6000.0
    };
    for tasks in [1, 4] {
        let mut task = 100;
        for group in 0..GROUPS {
            let mut list = String::new();
            for _ in 0..tasks {
                task += 1;
                lab.start(task, 1);
                lab.did(task, 5, 3);
                list.push_str(&format!("{task}\n"));
            }
            let files = [
                ("cpuacct", "tasks", list.as_str()),
                ("cpuacct", "cgroup.procs", &list),
                ("cpuacct", "cpuacct.usage", "7250000000\n"),
                ("cpuacct", "cpuacct.stat", "user 600\nsystem 125\n"),
                ("cpu", "cpu.stat", "nr_periods 400\nnr_throttled 90\nthrottled_time 4500000000\n"),
                ("memory", "memory.usage_in_bytes", "6442450944\n"),
                ("memory", "memory.stat", "pgfault 5\npgmajfault 1\ntotal_pgfault 5\ntotal_pgmajfault 1\n"),
                ("pids", "pids.current", "4\n"),
                ("blkio", "blkio.throttle.io_service_bytes", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
                ("blkio", "blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
            ];
            for (tree, name, text) in files {
                lab.write(&format!("sys/fs/cgroup/{tree}/system.slice/g{group}.service/{name}"), text);
            }
        }
        let mut host = Host::new(lab.home.path(), 512);
        let micros = micros(&mut host);
        let counted = host
            .batch
            .readings()
            .iter()
            .filter(|reading| {
                reading.metric == Metric::CgroupProcessRead && reading.reading.value().is_some()
            })
            .count();
        println!(
            "{GROUPS} groups of {tasks} tasks: {micros:.0} us of a processor a beat, {:.1} a group; tasks of {counted} counted",
            micros / f64::from(GROUPS)
        );
    }
}
