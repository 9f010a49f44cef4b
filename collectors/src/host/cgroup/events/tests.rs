//! Tests of groups' counters: who is counted on a kernel that answers as told, and real groups by events of this kernel.
use super::super::Cgroups;
use super::*;
use crate::host::cgroup::tasks::Look;
use crate::host::resctrl::groups::Groups;
use model::{Collector, Timestamp};
use perf_event::events::Software;
use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const S: u64 = 1_000_000_000;

/// What the stand-in for the kernel knows.
#[derive(Default)]
struct World {
    refusal: Option<i32>,
    /// Events that a processor lacks.
    lacks: Vec<(usize, Metric)>,
    broken: Option<i32>,
    times: Times,
    count: u64,
    open: usize,
    opened: usize,
    files_max: Option<u64>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

struct FakeGroup(Fake, Vec<Metric>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, enabled_ns: u64, running_ns: u64, count: u64) {
        let mut world = self.world();
        world.times.enabled_ns += enabled_ns;
        world.times.running_ns += running_ns;
        world.count += count;
    }
}

impl Drop for FakeGroup {
    fn drop(&mut self) {
        self.0.world().open -= 1;
    }
}

impl Kernel for Fake {
    fn open(&mut self, place: Place<'_>, wanted: Wanted) -> io::Result<Box<dyn Group>> {
        assert!(place.cgroup.is_some(), "a group is counted and not the whole processor");
        let mut world = self.world();
        if let Some(code) = world.refusal {
            return Err(io::Error::from_raw_os_error(code));
        }
        let has = |metric: &Metric| !world.lacks.contains(&(place.cpu, *metric));
        let metrics = wanted.iter().map(|(metric, _)| *metric).filter(has).collect();
        world.open += 1;
        world.opened += 1;
        Ok(Box::new(FakeGroup(self.clone(), metrics)))
    }

    fn files_max(&self) -> Option<u64> {
        self.world().files_max
    }
}

impl Group for FakeGroup {
    fn metrics(&self) -> &[Metric] {
        &self.1
    }

    fn read(&mut self, counts: &mut [u64]) -> io::Result<Times> {
        let world = self.0.world();
        match world.broken {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => {
                counts.fill(world.count);
                Ok(world.times)
            }
        }
    }

    fn shed(&mut self) {
        self.1.pop();
    }
}

/// A host of two processors whose groups use as much processor time as a test says.
struct Host {
    tree: tempfile::TempDir,
    fake: Fake,
    source: Cgroups,
    batch: Batch,
    second: u64,
}

impl Host {
    fn new(groups_max: usize) -> Self {
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/fs/cgroup/cgroup.controllers", "cpu\n");
        write("sys/devices/system/cpu/online", "0-1\n");
        let (roots, fake) = (Roots::below(tree.path()), Fake::default());
        let online = roots.sys.join("devices/system/cpu/online");
        let source = Cgroups {
            hierarchy: Hierarchy::find(&roots).unwrap(),
            groups_max: 16,
            followed: Vec::new(),
            scanned: None,
            look: Look::new(&roots.proc),
            events: Some(Events::over(Box::new(fake.clone()), online, (groups_max, WANTED))),
            monitoring: Groups::new(&roots),
        };
        Self { tree, fake, source, batch: Batch::default(), second: 0 }
    }

    fn used(&self, group: &str, usage_s: u64) {
        let folder = self.tree.path().join("sys/fs/cgroup").join(group);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cpu.stat"), format!("usage_usec {}\n", usage_s * 1_000_000)).unwrap();
    }

    /// Ten seconds later, which is when groups are chosen anew.
    fn look(&mut self) {
        self.second += 10;
        self.beat();
    }

    fn beat(&mut self) {
        self.batch.begin();
        let now = Timestamp::default().after(Duration::from_secs(self.second));
        self.source.collect(now, &mut self.batch).unwrap();
    }

    fn get(&self, name: &str, metric: Metric) -> Option<Reading> {
        let (slot, _) = self.batch.devices().find(|(_, info)| info.name == name).expect(name);
        self.batch.reading(slot, metric)
    }

    /// A host on which one group was chosen.
    fn with_one() -> Self {
        let mut host = Self::new(1);
        for usage_s in [0, 10] {
            host.used("a.service", usage_s);
            host.look();
        }
        host
    }
}

fn value(value: f64) -> Option<Reading> {
    Some(Reading::Value(value))
}

fn absent(why: Absence) -> Option<Reading> {
    Some(Reading::Absent(why))
}

#[test]
fn those_that_use_most_processor_time_are_counted_and_the_rest_is_switched_off() {
    let mut host = Host::new(2);
    let groups = ["a.service", "b.service", "c.service", "d.service"];
    groups.iter().for_each(|group| host.used(group, 0));
    host.look();
    assert_eq!(host.fake.world().open, 0, "before the second look nobody is known to use any");
    for (group, usage_s) in groups.iter().zip([1, 9, 5, 0]) {
        host.used(group, usage_s);
    }
    host.look();
    host.fake.pass(S, S, 7);
    host.beat();
    assert_eq!(host.fake.world().open, 4, "two groups on two processors");
    for counted in ["b.service", "c.service"] {
        assert_eq!(host.get(counted, Metric::CgroupCycles), value(14.0), "both processors together");
        assert_eq!(host.get(counted, Metric::CgroupEventsScheduled), value(1.0));
    }
    for other in ["a.service", "d.service"] {
        assert_eq!(host.get(other, Metric::CgroupCycles), absent(Absence::Disabled));
    }
}

#[test]
fn a_group_that_is_counted_stays_until_another_uses_half_as_much_again() {
    let mut host = Host::new(1);
    let used = |host: &mut Host, a, b| {
        host.used("a.service", a);
        host.used("b.service", b);
        host.look();
    };
    used(&mut host, 0, 0);
    used(&mut host, 5, 4);
    used(&mut host, 10, 10);
    host.beat();
    assert!(host.get("a.service", Metric::CgroupCycles).and_then(Reading::value).is_some());
    used(&mut host, 11, 20);
    host.beat();
    assert!(host.get("b.service", Metric::CgroupCycles).and_then(Reading::value).is_some());
    assert_eq!(host.get("a.service", Metric::CgroupCycles), absent(Absence::Disabled));
}

#[test]
fn a_group_that_holds_another_is_not_counted_beside_it() {
    let mut host = Host::new(8);
    for usage_s in [0, 9] {
        host.used("app.slice", usage_s);
        host.used("app.slice/web.service", usage_s);
        host.look();
    }
    host.beat();
    assert_eq!(host.get("app.slice", Metric::CgroupCycles), absent(Absence::Disabled));
    assert!(host.get("web.service", Metric::CgroupCycles).and_then(Reading::value).is_some());
}

#[test]
fn counters_of_groups_take_at_most_a_quarter_of_the_files() {
    // Two processors, four events and a leader: ten files a group.
    for (files_max, groups) in [(Some(4 * 10 * 3), 3), (Some(4 * 10 * 2 + 39), 2), (Some(39), 0), (None, 5)] {
        let mut host = Host::new(5);
        host.fake.world().files_max = files_max;
        for usage_s in [0, 1] {
            (0..8).for_each(|group| host.used(&format!("g{group}.service"), usage_s));
            host.look();
        }
        assert_eq!(host.fake.world().open, 2 * groups, "{files_max:?}");
    }
}

#[test]
fn events_that_the_processor_lacks_are_absent_and_never_zero() {
    for (code, why) in [(libc::ENOENT, Absence::Unsupported), (libc::EACCES, Absence::Denied)] {
        let mut host = Host::new(4);
        host.fake.world().refusal = Some(code);
        for usage_s in [0, 1] {
            host.used("a.service", usage_s);
            host.look();
        }
        host.beat();
        for (metric, _) in WANTED {
            assert_eq!(host.get("a.service", *metric), absent(why), "{metric}");
        }
        assert_eq!(host.get("a.service", Metric::CgroupEventsScheduled), absent(why));
    }
}

#[test]
fn what_only_some_processors_count_is_no_count_of_the_group() {
    let mut host = Host::new(1);
    host.fake.world().lacks = vec![(1, Metric::CgroupReferenceCycles)];
    for usage_s in [0, 1] {
        host.used("a.service", usage_s);
        host.look();
    }
    host.fake.pass(S, S, 5);
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupReferenceCycles), absent(Absence::Unsupported));
    assert_eq!(host.get("a.service", Metric::CgroupInstructions), value(10.0));
}

#[test]
fn counts_are_scaled_and_the_share_is_told_and_none_of_the_time_is_late() {
    let mut host = Host::with_one();
    host.fake.pass(S, S, 100);
    host.beat();
    host.fake.pass(10 * S, S, 10);
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupEventsScheduled), value(0.1));
    assert_eq!(host.get("a.service", Metric::CgroupCycles), value(400.0));
    host.fake.pass(S, 0, 0);
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupCycles), absent(Absence::Late));
    // A group that did not run has executed nothing, and had no share of nothing.
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupCycles), value(400.0));
    assert_eq!(host.get("a.service", Metric::CgroupEventsScheduled), None);
}

#[test]
fn counters_that_never_get_on_the_hardware_are_made_fewer() {
    let mut host = Host::with_one();
    for _ in 0..FIT_BEATS {
        host.fake.pass(S, 0, 0);
        host.beat();
    }
    host.fake.pass(S, S, 3);
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupReferenceCycles), absent(Absence::Unsupported));
    assert!(host.get("a.service", Metric::CgroupCacheMisses).and_then(Reading::value).is_some());
}

#[test]
fn totals_go_on_over_a_failed_reading_and_a_change_of_processors() {
    let mut host = Host::with_one();
    host.fake.pass(S, S, 100);
    host.beat();
    host.fake.world().broken = Some(libc::ENODEV);
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupCycles), absent(Absence::Lost));
    assert_eq!(host.fake.world().open, 0);
    {
        let mut world = host.fake.world();
        (world.broken, world.times, world.count) = (None, Times::default(), 0);
    }
    fs::write(host.tree.path().join("sys/devices/system/cpu/online"), "0\n").unwrap();
    host.used("a.service", 20);
    host.look();
    host.fake.pass(S, S, 7);
    host.beat();
    assert_eq!(host.get("a.service", Metric::CgroupCycles), value(207.0));
}

#[test]
fn a_container_of_the_same_name_is_counted_anew() {
    let mut host = Host::with_one();
    let folder = host.tree.path().join("sys/fs/cgroup/a.service");
    // The old one is kept aside, so that its inode is not used again; its files are open still.
    fs::rename(&folder, host.tree.path().join("old")).unwrap();
    fs::create_dir(&folder).unwrap();
    for usage_s in [20, 30] {
        fs::write(host.tree.path().join("old/cpu.stat"), format!("usage_usec {}\n", usage_s * 1_000_000))
            .unwrap();
        host.look();
        assert_eq!(host.fake.world().opened, 4, "once for each, and once is enough");
    }
}

#[test]
fn version_1_counts_by_a_tree_of_its_own_and_where_there_is_none_by_that_of_version_2() {
    let tree = tempfile::tempdir().unwrap();
    let make = |path: &str| fs::create_dir_all(tree.path().join(path)).unwrap();
    make("cpuacct/a.service");
    let split = Hierarchy::Split(tree.path().to_owned());
    assert_eq!(split.counted("a.service"), tree.path().join("perf_event/a.service"));
    make("unified/a.service");
    assert_eq!(split.counted("a.service"), tree.path().join("unified/a.service"));
    make("perf_event/a.service");
    assert_eq!(split.counted("a.service"), tree.path().join("perf_event/a.service"));
    let unified = Hierarchy::Unified(tree.path().to_owned());
    assert_eq!(unified.counted("a.service"), tree.path().join("a.service"));
}

/// Events of the kernel in the places of those of the hardware: time on a processor in nanoseconds, page faults, switches.
const KERNELS: Wanted = &[
    (Metric::CgroupCycles, Kind::Software(Software::CPU_CLOCK)),
    (Metric::CgroupInstructions, Kind::Software(Software::PAGE_FAULTS)),
    (Metric::CgroupCacheMisses, Kind::Software(Software::CONTEXT_SWITCHES)),
];

/// A control group of this machine, removed when dropped.
struct Real(PathBuf);

impl Real {
    /// Makes it in the tree that counters go by; `None` with a notice where this user may not.
    fn make(name: &str) -> Option<Self> {
        let mount = PathBuf::from("/sys/fs/cgroup");
        let trees = [mount.join("perf_event"), mount.join("unified"), mount];
        let tree = trees.iter().find(|tree| tree.join("cgroup.procs").exists())?;
        let folder = tree.join(format!("wattkeeper-test-{name}-{}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                eprintln!("NOTICE: skipped, because no control group can be made here: {error}");
                None
            }
        }
    }

    /// A child in the group that runs `script` when it is written a line.
    fn child(&self, script: &str) -> Child {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("read line; {script}")).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        fs::write(self.0.join("cgroup.procs"), child.id().to_string()).unwrap();
        child
    }

    fn counted(&self, wanted: Wanted) -> Counted {
        let online = PathBuf::from("/sys/devices/system/cpu/online");
        let mut events = Events::over(Box::new(Machine), online, (1, wanted));
        assert!(events.follow());
        let mut counted = Counted::new(&Hierarchy::Unified(self.0.clone()), "");
        counted.open(&mut events);
        counted
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn totals(counted: &mut Counted) -> (Batch, Slot) {
    let mut batch = Batch::default();
    let slot = batch.device(model::DeviceInfo::new(model::DeviceKind::Cgroup, "real"));
    counted.read(slot, &mut batch);
    (batch, slot)
}

#[test]
fn a_real_group_s_time_faults_and_switches_are_counted_and_nobody_else_s() {
    let (Some(busy), Some(idle)) = (Real::make("busy"), Real::make("idle")) else { return };
    let (mut counted, mut beside) = (busy.counted(KERNELS), idle.counted(KERNELS));
    if let Err(why) = counted.cpus.as_ref().map(|_| ()) {
        return eprintln!("NOTICE: skipped, because groups cannot be counted here: {why:?}");
    }
    let mut child = busy.child("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
    let (batch, slot) = totals(&mut counted);
    let get = |metric| batch.reading(slot, metric).and_then(Reading::value).unwrap();
    // The kernel's own account of the group's time; version 1's tree of counters has none.
    let stat = fs::read_to_string(busy.0.join("cpu.stat")).unwrap_or_default();
    let used_us = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<f64>().ok());
    let counted_us = get(Metric::CgroupCycles) / 1e3;
    assert!(counted_us > 1e3, "{counted_us} us");
    // Its account has what the child did before it was moved into the group as little as ours has.
    assert!(
        used_us.is_none_or(|used| (counted_us / used - 1.0).abs() < 0.2),
        "{counted_us} of {used_us:?} us"
    );
    assert!(get(Metric::CgroupInstructions) >= 1.0, "a shell that begins faults");
    assert!((0.99..=1.0).contains(&get(Metric::CgroupEventsScheduled)));
    assert_eq!(batch.reading(slot, Metric::CgroupReferenceCycles), absent(Absence::Unsupported));
    let (batch, slot) = totals(&mut beside);
    for (metric, _) in KERNELS {
        assert_eq!(batch.reading(slot, *metric), value(0.0), "{metric} of a group in which nothing ran");
    }
    assert_eq!(batch.reading(slot, Metric::CgroupEventsScheduled), None);
}

#[test]
fn hardware_events_of_a_real_group_are_counted_or_absent_with_a_reason() {
    let Some(group) = Real::make("hardware") else { return };
    let mut counted = group.counted(WANTED);
    let mut child = group.child(":");
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
    let (batch, slot) = totals(&mut counted);
    let absent = |metric| matches!(batch.reading(slot, metric), Some(Reading::Absent(_)));
    match batch.reading(slot, Metric::CgroupCycles) {
        Some(Reading::Value(cycles)) => assert!(cycles > 0.0, "a group that ran has used cycles"),
        Some(Reading::Absent(_)) => assert!(WANTED.iter().all(|(metric, _)| absent(*metric))),
        None => panic!("neither a count nor a reason"),
    }
}

/// Measures what counting costs: a reading, and a switch between a group that is counted and one that is not.
/// `cargo test -p collectors -- --ignored --nocapture what_counting_a_group_costs`
#[test]
#[ignore = "measures; takes some seconds and wants a quiet machine"]
fn what_counting_a_group_costs() {
    let Some(group) = Real::make("cost") else { return };
    let mut turns = Turns::new(&group);
    for round in 0..4 {
        let plain_us = turns.microseconds();
        let mut counted = group.counted(KERNELS);
        let counted_us = turns.microseconds();
        let begin = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        (0..1000).for_each(|_| assert!(counted.add().is_ok()));
        let end = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let read_ns = (end.tv_sec - begin.tv_sec) * 1_000_000_000 + end.tv_nsec - begin.tv_nsec;
        eprintln!(
            "round {round}: a turn of two switches {plain_us:.2} us, counted {counted_us:.2} us; a reading {} ns",
            read_ns / 1000
        );
    }
}

/// A byte to and fro between this thread and a child in a group, both on one processor.
struct Turns {
    child: Child,
}

impl Turns {
    fn new(group: &Real) -> Self {
        let mut command = Command::new("cat");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        fs::write(group.0.join("cgroup.procs"), child.id().to_string()).unwrap();
        let mut first = rustix::thread::CpuSet::new();
        first.set(0);
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap());
        rustix::thread::sched_setaffinity(pid, &first).unwrap();
        rustix::thread::sched_setaffinity(None, &first).unwrap();
        Self { child }
    }

    /// The median time of a turn.
    fn microseconds(&mut self) -> f64 {
        use std::io::Read as _;
        let now = || rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let mut took = Vec::new();
        for _ in 0..20_000 {
            let begin = now();
            self.child.stdin.as_mut().unwrap().write_all(&[7]).unwrap();
            self.child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            let end = now();
            took.push((end.tv_sec - begin.tv_sec) * 1_000_000_000 + end.tv_nsec - begin.tv_nsec);
        }
        took.sort_unstable();
        took[took.len() / 2] as f64 / 1e3
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
