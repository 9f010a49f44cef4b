//! Tests of the counters: on a kernel that answers as told, and on this machine's own.
use super::counter::Times;
use super::*;
use model::Reading;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const S: u64 = 1_000_000_000;

/// What the stand-in for the kernel knows.
#[derive(Default)]
struct World {
    /// Error by event; an event that is not here can be counted.
    refusals: BTreeMap<Metric, i32>,
    /// Error of every reading.
    broken: Option<i32>,
    times: Times,
    count: u64,
    /// Members of a group that fit on the hardware; 0 for any number.
    fit: usize,
    files_max: Option<u64>,
    /// Groups open now.
    open: usize,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        // A failed assertion may hold it; the groups that are dropped then must not panic in turn.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, wanted: Wanted, code: i32) {
        self.world().refusals.extend(wanted.iter().map(|(metric, _)| (*metric, code)));
    }

    fn pass(&self, enabled_s: u64, running_s: u64, count: u64) {
        let mut world = self.world();
        world.times.enabled_ns += enabled_s * S;
        world.times.running_ns += running_s * S;
        world.count += count;
    }
}

struct FakeGroup(Fake, Vec<Metric>);

impl Drop for FakeGroup {
    fn drop(&mut self) {
        self.0.world().open -= 1;
    }
}

impl Kernel for Fake {
    fn open(&mut self, _: Place<'_>, wanted: Wanted) -> io::Result<Box<dyn Group>> {
        let mut world = self.world();
        let mut metrics = Vec::new();
        let mut refusal = None;
        for (metric, _) in wanted {
            match world.refusals.get(metric).map(|code| io::Error::from_raw_os_error(*code)) {
                None => metrics.push(*metric),
                Some(error) if lacks(&error) => refusal = Some(error),
                Some(error) => return Err(error),
            }
        }
        match refusal {
            Some(error) if metrics.is_empty() => Err(error),
            _ => {
                world.open += 1;
                Ok(Box::new(FakeGroup(self.clone(), metrics)))
            }
        }
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
        if let Some(code) = world.broken {
            return Err(io::Error::from_raw_os_error(code));
        }
        let fits = world.fit == 0 || self.1.len() <= world.fit;
        counts.fill(if fits { world.count } else { 0 });
        Ok(if fits { world.times } else { Times { running_ns: 0, ..world.times } })
    }

    fn shed(&mut self) {
        self.1.pop();
    }
}

/// The source over a stand-in, with its list of processors in a file.
struct Host {
    fake: Fake,
    home: tempfile::TempDir,
    perf: Perf,
    batch: Batch,
}

impl Host {
    fn new(fake: Fake, online: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("online"), online).unwrap();
        let perf = start(Box::new(fake.clone()), home.path().join("online")).unwrap().expect("counters");
        Self { fake, home, perf, batch: Batch::default() }
    }

    fn beat(&mut self) {
        self.batch.begin();
        self.perf.collect(Timestamp::default(), &mut self.batch).unwrap();
    }

    fn get(&self, key: &str, metric: Metric) -> Option<Reading> {
        let (slot, _) = self.batch.devices().find(|(_, info)| info.key == key).expect(key);
        self.batch.reading(slot, metric)
    }
}

fn value(value: f64) -> Option<Reading> {
    Some(Reading::Value(value))
}

fn absent(why: Absence) -> Option<Reading> {
    Some(Reading::Absent(why))
}

#[test]
fn counts_are_scaled_and_the_share_is_that_of_the_interval() {
    let mut host = Host::new(Fake::default(), "0-1\n");
    host.fake.pass(1, 1, 100);
    host.beat();
    host.fake.pass(4, 1, 50);
    host.beat();
    for key in ["0", "1"] {
        assert_eq!(host.get(key, Metric::CoreCycles), value(300.0));
        assert_eq!(host.get(key, Metric::CoreSwitches), value(300.0));
        assert_eq!(host.get(key, Metric::CoreHardwareScheduled), value(0.25));
    }
    let names: Vec<_> = host.batch.devices().map(|(_, info)| (info.key.clone(), info.name.clone())).collect();
    assert_eq!(names, [("0".to_owned(), "cpu0".to_owned()), ("1".to_owned(), "cpu1".to_owned())]);
}

#[test]
fn a_processor_without_counters_still_has_software_events() {
    let fake = Fake::default();
    fake.refuse(HARDWARE, libc::ENOENT);
    let mut host = Host::new(fake, "0");
    host.fake.pass(1, 1, 7);
    host.beat();
    assert_eq!(host.get("0", Metric::CoreFaults), value(7.0));
    assert_eq!(host.get("0", Metric::CoreCycles), absent(Absence::Unsupported));
    assert_eq!(host.get("0", Metric::CoreHardwareScheduled), absent(Absence::Unsupported));
}

#[test]
fn an_event_that_the_processor_lacks_is_unsupported_and_leaves_the_others_alone() {
    let fake = Fake::default();
    fake.world().refusals.insert(Metric::CoreStalledFrontend, libc::ENOENT);
    fake.world().refusals.insert(Metric::CoreCacheMisses, libc::EINVAL);
    let mut host = Host::new(fake, "0");
    host.fake.pass(1, 1, 7);
    host.beat();
    assert_eq!(host.get("0", Metric::CoreStalledFrontend), absent(Absence::Unsupported));
    assert_eq!(host.get("0", Metric::CoreCacheMisses), absent(Absence::Unsupported));
    assert_eq!(host.get("0", Metric::CoreStalledBackend), value(7.0));
}

#[test]
fn where_counting_is_refused_every_counter_is_denied() {
    for code in [libc::EACCES, libc::EPERM] {
        let fake = Fake::default();
        fake.refuse(HARDWARE, code);
        fake.refuse(SOFTWARE, code);
        let mut host = Host::new(fake, "0");
        host.beat();
        let wanted = HARDWARE.iter().chain(SOFTWARE).map(|(metric, _)| *metric);
        for metric in wanted.chain([Metric::CoreHardwareScheduled, Metric::CoreSoftwareScheduled]) {
            assert_eq!(host.get("0", metric), absent(Absence::Denied), "{metric}");
        }
    }
}

#[test]
fn a_kernel_that_cannot_count_is_no_source_and_one_that_fails_an_error() {
    let home = tempfile::tempdir().unwrap();
    let online = home.path().join("online");
    let fake = Fake::default();
    assert!(start(Box::new(fake.clone()), online.clone()).unwrap().is_none(), "no processors");
    fs::write(&online, "0").unwrap();
    fake.refuse(HARDWARE, libc::ENOENT);
    fake.refuse(SOFTWARE, libc::ENOSYS);
    assert!(start(Box::new(fake.clone()), online.clone()).unwrap().is_none());
    fake.refuse(SOFTWARE, libc::EMFILE);
    assert!(start(Box::new(fake), online).is_err());
}

#[test]
fn counters_never_take_more_than_half_of_the_files() {
    let home = tempfile::tempdir().unwrap();
    let online = home.path().join("online");
    fs::write(&online, "0-127").unwrap();
    let fake = Fake::default();
    let open = || start(Box::new(fake.clone()), online.clone()).map(|perf| perf.is_some());
    // Nine and three members and a leader each, on 128 processors.
    fake.world().files_max = Some(2 * 14 * 128);
    assert!(open().unwrap());
    fake.world().files_max = Some(2 * 14 * 128 - 1);
    assert_eq!(open().unwrap_err().reason, Reason::Full);
    fake.world().files_max = None;
    assert!(open().unwrap());
}

#[test]
fn an_interval_without_the_hardware_is_late_and_not_a_count_of_zero() {
    let mut host = Host::new(Fake::default(), "0");
    host.fake.pass(1, 1, 100);
    host.beat();
    host.fake.pass(1, 0, 0);
    host.beat();
    assert_eq!(host.get("0", Metric::CoreCycles), absent(Absence::Late));
    assert_eq!(host.get("0", Metric::CoreHardwareScheduled), value(0.0));
    host.fake.pass(1, 1, 100);
    host.beat();
    assert_eq!(host.get("0", Metric::CoreCycles), value(300.0));
}

#[test]
fn a_group_too_large_for_the_hardware_is_made_smaller_until_it_fits() {
    let mut host = Host::new(Fake::default(), "0");
    host.fake.world().fit = 6;
    for _ in 0..3 * FIT_BEATS + 1 {
        host.fake.pass(1, 1, 10);
        host.beat();
    }
    assert!(host.get("0", Metric::CoreBranchMisses).and_then(Reading::value).is_some());
    for metric in [Metric::CoreStalledFrontend, Metric::CoreStalledBackend, Metric::CoreReferenceCycles] {
        assert_eq!(host.get("0", metric), absent(Absence::Unsupported), "{metric}");
    }
}

#[test]
fn a_group_that_once_ran_keeps_its_members_however_long_it_waits() {
    let mut host = Host::new(Fake::default(), "0");
    host.fake.pass(1, 1, 10);
    host.beat();
    for _ in 0..5 * FIT_BEATS {
        host.fake.pass(1, 0, 0);
        host.beat();
    }
    host.fake.pass(1, 1, 10);
    host.beat();
    assert!(host.get("0", Metric::CoreStalledBackend).and_then(Reading::value).is_some());
}

#[test]
fn cycles_and_instructions_are_never_given_up() {
    let mut host = Host::new(Fake::default(), "0");
    host.fake.world().fit = 1;
    for _ in 0..20 * FIT_BEATS {
        host.fake.pass(1, 1, 10);
        host.beat();
    }
    assert_eq!(host.get("0", Metric::CoreInstructions), absent(Absence::Late));
    assert_eq!(host.get("0", Metric::CoreCacheReferences), absent(Absence::Unsupported));
}

#[test]
fn a_processor_that_goes_offline_gives_its_groups_back_and_is_counted_anew_when_it_returns() {
    let mut host = Host::new(Fake::default(), "0-1\n");
    host.fake.pass(1, 1, 100);
    host.beat();
    assert_eq!(host.fake.world().open, 4);
    fs::write(host.home.path().join("online"), "0\n").unwrap();
    host.beat();
    assert_eq!(host.fake.world().open, 2);
    assert_eq!(host.get("1", Metric::CoreCycles), None);
    fs::write(host.home.path().join("online"), "0-1\n").unwrap();
    host.beat();
    assert_eq!(host.get("1", Metric::CoreCycles), value(100.0));
    assert_eq!(host.batch.devices().count(), 2);
}

#[test]
fn a_group_that_cannot_be_read_is_lost_and_stops_nothing() {
    let mut host = Host::new(Fake::default(), "0");
    host.fake.world().broken = Some(libc::ENODEV);
    host.beat();
    assert_eq!(host.get("0", Metric::CoreCycles), absent(Absence::Lost));
    assert_eq!(host.get("0", Metric::CoreSoftwareScheduled), absent(Absence::Lost));
    host.fake.world().broken = None;
    host.fake.pass(1, 1, 5);
    host.beat();
    assert_eq!(host.get("0", Metric::CoreCycles), value(5.0));
}

#[test]
fn a_list_of_processors_is_read() {
    assert_eq!(parse_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
    assert_eq!(parse_list("nonsense,"), Vec::<usize>::new());
    assert_eq!(parse_list("0-18446744073709551615").len(), CPUS_MAX);
}

/// The real source, or `None` with a notice where this machine does not let anyone count.
fn real() -> Option<(Box<dyn Collector>, Batch)> {
    let options = Options::default();
    let mut batch = Batch::default();
    let Some(mut source) = open(&options).expect("the counters of this machine") else {
        eprintln!("NOTICE: skipped, because this machine has no counters");
        return None;
    };
    source.collect(Timestamp::default(), &mut batch).unwrap();
    let denied = batch
        .devices()
        .any(|(slot, _)| batch.reading(slot, Metric::CoreSwitches) == Some(Reading::Absent(Absence::Denied)));
    if denied {
        eprintln!("NOTICE: skipped, because counting is refused here");
        return None;
    }
    Some((source, batch))
}

#[test]
fn context_switches_of_this_machine_are_counted() {
    let Some((mut source, mut batch)) = real() else { return };
    let total = |batch: &Batch| -> f64 {
        let switches = |(slot, _)| batch.reading(slot, Metric::CoreSwitches).and_then(Reading::value);
        batch.devices().filter_map(switches).sum()
    };
    let before = total(&batch);
    // Two threads that hand a byte to and fro block once a turn: a channel would spin instead.
    let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    let other = std::thread::spawn(move || {
        let mut byte = [0];
        (0..1000).try_for_each(|_| there.read_exact(&mut byte).and_then(|()| there.write_all(&byte)))
    });
    let mut byte = [7];
    for _ in 0..1000 {
        here.write_all(&byte).unwrap();
        here.read_exact(&mut byte).unwrap();
    }
    other.join().unwrap().unwrap();
    batch.begin();
    source.collect(Timestamp::default(), &mut batch).unwrap();
    assert!(total(&batch) - before >= 500.0, "{} switches", total(&batch) - before);
    for (slot, info) in batch.devices() {
        let share = batch.reading(slot, Metric::CoreSoftwareScheduled).and_then(Reading::value).unwrap();
        assert!((0.0..=1.0).contains(&share) && share > 0.99, "{}: {share}", info.name);
    }
}

#[test]
fn every_counter_of_this_machine_is_counted_or_has_its_reason() {
    let Some((_, batch)) = real() else { return };
    for (slot, info) in batch.devices() {
        for (metric, _) in HARDWARE.iter().chain(SOFTWARE) {
            assert!(batch.reading(slot, *metric).is_some(), "{} {metric}", info.name);
        }
    }
}
