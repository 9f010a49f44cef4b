//! Gaudi and Ascend: the production collectors over fake libraries that the simulator drives.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use collectors::{OpenCollector, Options, ascend, gaudi};
use model::{
    Absence, Batch, Calls, CollectError, Collector, DeviceInfo, Metric, NoticeKind, Reading, Reason, Slot,
    Timestamp,
};
use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tests::{Agent, eventually};

/// A vendor's source and its fake.
#[derive(Clone, Copy)]
struct Kind {
    source: &'static str,
    fake: &'static str,
    open: OpenCollector,
}

const GAUDI: Kind = Kind { source: "gaudi", fake: "hlml", open: gaudi::open };
const ASCEND: Kind = Kind { source: "ascend", fake: "dcmi", open: ascend::open };
const BY_CARD: Kind = Kind { open: ascend::open_by_card, ..ASCEND };
const ALL: [Kind; 3] = [GAUDI, ASCEND, BY_CARD];

/// A copy of a fake library, so that each test has a world of its own.
struct Copied {
    kind: Kind,
    path: PathBuf,
    library: libloading::Library,
    _home: TempDir,
}

impl Copied {
    fn of(kind: Kind) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lib.so");
        std::fs::copy(tests::fake(kind.fake), &path).unwrap();
        // SAFETY: our own library, whose initialisers do nothing.
        let library = unsafe { libloading::Library::new(&path) }.unwrap();
        Self { kind, path, library, _home: home }
    }

    fn steer(&self, line: &str) {
        let name = format!("fake_{}_steer\0", self.kind.fake);
        let text = CString::new(line).unwrap();
        // SAFETY: the function has this type in our own library.
        let code = unsafe {
            let steer = self.library.get::<unsafe extern "C" fn(*const c_char) -> c_int>(name.as_bytes());
            steer.unwrap()(text.as_ptr())
        };
        assert_eq!(code, 0, "{line}");
    }

    fn options(&self) -> Options {
        let libraries = BTreeMap::from([(self.kind.source.to_owned(), self.path.clone())]);
        Options { libraries, ..Options::default() }
    }
}

struct Bench {
    copied: Copied,
    source: Box<dyn Collector>,
    calls: Calls,
    batch: Batch,
    now: Timestamp,
}

impl Bench {
    fn new(kind: Kind) -> Self {
        let copied = Copied::of(kind);
        copied.steer("hold");
        let options = copied.options();
        let source = (kind.open)(&options).unwrap().unwrap();
        let now = Timestamp::default().after(Duration::from_secs(1));
        Self { copied, source, calls: options.calls, batch: Batch::default(), now }
    }

    /// One beat; the devices that are there and the notices.
    fn beat(&mut self) -> Result<Vec<(NoticeKind, u32)>, CollectError> {
        self.now = self.now.after(Duration::from_secs(1));
        self.batch.begin();
        self.source.collect(self.now, &mut self.batch)?;
        Ok(self.batch.notices().iter().map(|notice| (notice.kind, notice.code)).collect())
    }

    fn devices(&self) -> Vec<(Slot, Arc<DeviceInfo>)> {
        let mut devices: Vec<_> = self.batch.devices().map(|(slot, info)| (slot, Arc::clone(info))).collect();
        devices.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        devices
    }

    fn reading(&self, place: usize, metric: Metric) -> Option<Reading> {
        self.batch.reading(self.devices()[place].0, metric)
    }

    fn value(&self, place: usize, metric: Metric) -> f64 {
        self.reading(place, metric)
            .and_then(Reading::value)
            .unwrap_or_else(|| panic!("{metric} has no value"))
    }

    fn keys(&self) -> Vec<String> {
        self.devices().iter().map(|(_, info)| info.key.clone()).collect()
    }
}

#[test]
fn a_device_says_in_base_units_what_the_simulator_has() {
    for kind in ALL {
        let mut bench = Bench::new(kind);
        for line in ["load 0 training", "advance 3000"] {
            bench.copied.steer(line);
        }
        assert_eq!(bench.beat().unwrap(), []);
        let names: Vec<_> = bench.devices().iter().map(|(_, info)| info.name.clone()).collect();
        assert_eq!(names, [format!("{}0", kind.source), format!("{}1", kind.source)]);
        let power_w = bench.value(0, Metric::PowerInstant);
        assert!((350.0..620.0).contains(&power_w), "{power_w}");
        assert!((bench.value(0, Metric::Utilization) - 0.99).abs() < 0.01);
        assert_eq!(bench.value(1, Metric::Utilization), 0.0);
        let size = if kind.source == "gaudi" { 96_u64 << 30 } else { 64 << 30 };
        assert_eq!(bench.value(0, Metric::MemorySize), size as f64);
        let used = bench.value(0, Metric::MemoryUsed) / size as f64;
        assert!((used - 0.83).abs() < 1e-3, "{used}");
        assert!(bench.value(0, Metric::ClockSm) > 1e9 && bench.value(0, Metric::Temperature) > 30.0);
        assert_eq!(bench.reading(0, Metric::Up), Some(Reading::Value(1.0)));
        let attributes = &bench.devices()[0].1.attributes;
        assert_eq!(attributes["pci"], "0000:10:00.0");
        // Nobody can be capped.
        for metric in [Metric::PowerLimitMin, Metric::PowerLimitMax, Metric::PowerLimitEnforced] {
            assert_eq!(bench.reading(0, metric), None, "{metric}");
        }
    }
}

#[test]
fn an_ascend_counts_power_in_tenths_of_a_watt_and_a_gaudi_in_thousandths() {
    for (kind, step) in [(ASCEND, 0.1), (GAUDI, 0.001)] {
        let mut bench = Bench::new(kind);
        bench.beat().unwrap();
        let steps = bench.value(0, Metric::PowerInstant) / step;
        assert!((steps - steps.round()).abs() < 1e-6 && steps > 50.0 / step, "{steps}");
    }
}

#[test]
fn a_structure_that_is_shorter_or_longer_gives_the_same_readings() {
    for old in ["0", "1"] {
        let mut bench = Bench::new(GAUDI);
        bench.copied.steer(&format!("switch old_structs {old}"));
        bench.copied.steer("load 1 decode");
        bench.copied.steer("advance 1000");
        bench.beat().unwrap();
        assert_eq!(bench.value(1, Metric::Utilization), 0.93);
        assert_eq!(bench.devices()[1].1.attributes["pci"], "0000:18:00.0");
    }
}

#[test]
fn a_lost_device_is_gone_alone_and_back_under_its_key() {
    for kind in ALL {
        let mut bench = Bench::new(kind);
        bench.beat().unwrap();
        let keys = bench.keys();
        bench.copied.steer("inject 0 lost");
        assert_eq!(bench.beat().unwrap(), [(NoticeKind::Gone, 0)]);
        assert_eq!(bench.keys(), keys[1..]);
        bench.copied.steer("heal 0 lost");
        let mut beats = 0;
        while bench.keys() != keys {
            bench.beat().unwrap();
            beats += 1;
            assert!(beats < 5, "it is looked for again after a second or two");
        }
        assert!(bench.value(0, Metric::PowerInstant) > 0.0);
    }
}

#[test]
fn an_identity_never_moves_to_another_device() {
    for kind in ALL {
        let mut bench = Bench::new(kind);
        bench.copied.steer("load 1 training");
        bench.copied.steer("advance 2000");
        bench.beat().unwrap();
        let (keys, power_w) = (bench.keys(), bench.value(1, Metric::PowerInstant));
        bench.copied.steer("order 1 0");
        for _ in 0..12 {
            bench.beat().unwrap();
        }
        assert_eq!(bench.keys(), keys, "{}", kind.source);
        assert!((bench.value(1, Metric::PowerInstant) - power_w).abs() < 0.2 * power_w);
        assert!(bench.value(0, Metric::PowerInstant) < 0.5 * power_w);
    }
}

#[test]
fn of_two_devices_with_one_identity_the_first_is_read_and_it_is_told_once() {
    for kind in ALL {
        let mut bench = Bench::new(kind);
        bench.copied.steer("impersonate 1 0");
        assert_eq!(bench.beat().unwrap(), [(NoticeKind::Duplicate, 0)]);
        assert_eq!(bench.devices().len(), 1);
        for _ in 0..25 {
            assert_eq!(bench.beat().unwrap(), []);
        }
    }
}

#[test]
fn a_gaudi_tells_of_its_ports_replaced_rows_memory_errors_and_sensors() {
    let mut bench = Bench::new(GAUDI);
    for line in [
        "load 0 training",
        "advance 3000",
        "switch ports_down 2",
        "switch rows_single 3",
        "switch rows_double 1",
        "switch rows_pending 1",
        "ecc 0 0 7",
    ] {
        bench.copied.steer(line);
    }
    bench.beat().unwrap();
    for (metric, expected) in [
        (Metric::Links, 24.0),
        (Metric::LinksUp, 22.0),
        (Metric::RowsRemappedCorrectable, 3.0),
        (Metric::RowsRemappedUncorrectable, 1.0),
        (Metric::RowRemapPending, 1.0),
        (Metric::EccUncorrectedMemory, 7.0),
        (Metric::EccUncorrectedSram, 0.0),
    ] {
        assert_eq!(bench.value(0, metric), expected, "{metric}");
    }
    let core_c = bench.value(0, Metric::Temperature);
    let memory_c = bench.value(0, Metric::TemperatureMemory);
    assert!(memory_c > core_c && memory_c < core_c + 8.0, "{memory_c} {core_c}");
    assert!((core_c - bench.value(0, Metric::TemperatureRegulator) - 5.0).abs() <= 1.0);
    // A device that has no ports has no count of them.
    let mut older = Bench::new(GAUDI);
    older.copied.steer("fail hlml_get_mac_addr_info 3");
    older.beat().unwrap();
    for metric in [Metric::Links, Metric::LinksUp] {
        assert_eq!(older.reading(0, metric).and_then(Reading::value), None, "{metric}");
    }
}

#[test]
fn where_only_the_clock_of_the_soc_is_known_it_stands_for_the_compute_clock() {
    let mut bench = Bench::new(GAUDI);
    bench.beat().unwrap();
    assert_ne!(bench.value(0, Metric::ClockSm), 1e9);
    let mut bench = Bench::new(GAUDI);
    bench.copied.steer("switch soc_only 1");
    bench.beat().unwrap();
    assert_eq!((bench.value(0, Metric::ClockSm), bench.value(0, Metric::ClockSoc)), (1e9, 1e9));
    assert_eq!(bench.value(0, Metric::ClockSmMax), 1.2e9);
}

#[test]
fn another_firmware_after_a_hang_is_a_change() {
    let mut bench = Bench::new(GAUDI);
    bench.beat().unwrap();
    assert_eq!(bench.devices()[0].1.attributes["firmware"], "hl-gaudi2-1.20.0-fake");
    bench.copied.steer("switch firmware 1");
    bench.batch.begin();
    bench.source.reopen(bench.now, &mut bench.batch).unwrap();
    let changed = bench.batch.notices().iter().filter(|notice| notice.kind == NoticeKind::Changed).count();
    assert_eq!(changed, 2);
    assert_eq!(bench.devices()[0].1.attributes["firmware"], "hl-gaudi2-1.21.0-fake");
}

#[test]
fn what_a_call_returns_is_the_absence_of_its_own_metric() {
    let cases = [
        (GAUDI, "hlml_device_get_power_usage", 3, Absence::Unsupported),
        (GAUDI, "hlml_device_get_power_usage", 10, Absence::Late),
        (ASCEND, "dcmiv2_get_device_power_info", -8002, Absence::Denied),
        (BY_CARD, "dcmi_get_device_power_info", -8006, Absence::Late),
        (BY_CARD, "dcmi_get_device_power_info", -4711, Absence::Lost),
    ];
    for (kind, function, code, absence) in cases {
        let mut bench = Bench::new(kind);
        bench.copied.steer(&format!("fail {function} {code}"));
        bench.beat().unwrap();
        assert_eq!(bench.reading(0, Metric::PowerInstant), Some(Reading::Absent(absence)), "{code}");
        assert!(bench.value(0, Metric::Temperature) > 0.0, "the others go on");
        bench.copied.steer(&format!("fail {function} 0"));
        bench.beat().unwrap();
        // What a device was said not to have is not asked for again.
        let back = bench.reading(0, Metric::PowerInstant).and_then(Reading::value).is_some();
        assert_eq!(back, absence != Absence::Unsupported, "{code}");
    }
}

#[test]
fn a_library_whose_driver_is_gone_is_lost_as_a_whole() {
    let mut bench = Bench::new(GAUDI);
    bench.beat().unwrap();
    bench.copied.steer("fail hlml_device_get_power_usage 9");
    assert_eq!(bench.beat().unwrap_err().reason, Reason::Lost);
}

#[test]
fn a_call_that_hangs_is_named_and_afterwards_the_devices_are_compared() {
    let cases = [
        (GAUDI, "hlml_device_get_memory_info"),
        (ASCEND, "dcmiv2_get_device_hbm_info"),
        (BY_CARD, "dcmi_get_device_hbm_info"),
    ];
    for (kind, function) in cases {
        let mut bench = Bench::new(kind);
        bench.beat().unwrap();
        bench.copied.steer(&format!("hang 1 {function}"));
        let calls = bench.calls.clone();
        let Bench { copied, mut source, mut batch, now, .. } = bench;
        let worker = std::thread::spawn(move || {
            batch.begin();
            source.collect(now.after(Duration::from_secs(1)), &mut batch).unwrap();
            (source, batch)
        });
        eventually("the call is under way", || calls.present() == Some(function));
        // Meanwhile somebody puts another board in.
        copied.steer("switch swapped 1");
        copied.steer(&format!("release 1 {function}"));
        let (mut source, mut batch) = worker.join().unwrap();
        batch.begin();
        source.reopen(now.after(Duration::from_secs(3)), &mut batch).unwrap();
        let kinds: Vec<_> = batch.notices().iter().map(|notice| notice.kind).collect();
        assert_eq!(kinds, [NoticeKind::Changed, NoticeKind::Changed], "{function}");
    }
}

#[test]
fn an_error_code_is_told_once_and_shown_while_it_lasts() {
    let mut bench = Bench::new(ASCEND);
    bench.beat().unwrap();
    assert_eq!((bench.value(0, Metric::ErrorCodes), bench.value(0, Metric::HealthCode)), (0.0, 0.0));
    bench.copied.steer("code 0 2164260864");
    assert_eq!(bench.beat().unwrap(), [(NoticeKind::Fault, 2_164_260_864)]);
    assert_eq!(
        (bench.value(0, Metric::ErrorLastCode), bench.value(0, Metric::HealthCode)),
        (2_164_260_864.0, 2.0)
    );
    bench.copied.steer("code 0 77");
    assert_eq!(bench.beat().unwrap(), [(NoticeKind::Fault, 77)], "only the new one is told");
    bench.copied.steer("uncode 0");
    assert_eq!(bench.beat().unwrap(), []);
    assert_eq!(bench.reading(0, Metric::ErrorLastCode), None);
}

#[test]
fn ai_cores_that_say_that_they_rest_while_a_profiler_has_them_are_not_believed() {
    let mut bench = Bench::new(ASCEND);
    bench.beat().unwrap();
    for line in ["load 0 training", "switch profiling 1", "advance 3000"] {
        bench.copied.steer(line);
    }
    for _ in 0..6 {
        bench.beat().unwrap();
    }
    assert_eq!(bench.reading(0, Metric::Utilization), Some(Reading::Absent(Absence::Implausible)));
    assert_eq!(bench.value(1, Metric::Utilization), 0.0, "an idle device rests");
    bench.copied.steer("switch profiling 0");
    bench.beat().unwrap();
    assert!(bench.value(0, Metric::Utilization) > 0.5);
}

#[test]
fn errors_of_the_memory_are_counted_from_the_start_and_over_the_devices_life() {
    for kind in [ASCEND, BY_CARD] {
        let mut bench = Bench::new(kind);
        bench.copied.steer("ecc 1 5 2");
        bench.beat().unwrap();
        let counts = [
            (Metric::EccMode, 1.0),
            (Metric::EccCorrectedVolatile, 5.0),
            (Metric::EccUncorrectedVolatile, 2.0),
            (Metric::EccCorrectedAggregate, 105.0),
            (Metric::EccUncorrectedAggregate, 12.0),
            (Metric::PagesRetiredSingle, 3.0),
            (Metric::PagesRetiredDouble, 1.0),
        ];
        for (metric, count) in counts {
            assert_eq!(bench.value(1, metric), count, "{metric}");
        }
    }
}

#[test]
fn processes_have_their_memory() {
    let mut bench = Bench::new(ASCEND);
    bench.copied.steer("load 1 decode");
    bench.copied.steer("advance 1000");
    bench.beat().unwrap();
    let processes: Vec<_> = bench.batch.processes().iter().map(|p| (p.pid, p.memory_bytes)).collect();
    assert_eq!(processes.len(), 1);
    assert!(processes[0].0 == 4001 && processes[0].1.unwrap() > 32 << 30, "{processes:?}");
}

#[test]
fn whatever_a_library_answers_is_a_plausible_reading_or_an_absence() {
    for kind in ALL {
        let mut bench = Bench::new(kind);
        bench.beat().unwrap();
        for seed in 1..200 {
            bench.copied.steer(&format!("switch noise {}", seed * 7919));
            // Names and keys are not noise, so devices stay; what is read is anything.
            let _ = bench.beat();
            for reading in bench.batch.readings() {
                if let Reading::Value(value) = reading.reading {
                    let row = reading.metric.row();
                    assert!(value >= row.low && value <= row.high, "{} = {value}", reading.metric);
                }
            }
            assert!(bench.batch.processes().len() <= 2 * 32);
        }
    }
}

fn counts() -> (usize, usize) {
    let of = |name: &str| std::fs::read_dir(Path::new("/proc/self").join(name)).unwrap().count();
    (of("fd"), of("task"))
}

#[test]
fn opening_and_closing_leaves_nothing_behind() {
    for kind in ALL {
        let copied = Copied::of(kind);
        let cycle = || {
            let mut source = (kind.open)(&copied.options()).unwrap().unwrap();
            source.collect(Timestamp::default(), &mut Batch::default()).unwrap();
        };
        cycle();
        let before = counts();
        (0..2000).for_each(|_| cycle());
        let after = counts();
        // Other tests of this program open and close things, too.
        assert!(after.0 <= before.0 + 40 && after.1 <= before.1 + 20, "{before:?} {after:?}");
    }
}

#[test]
fn an_agent_shows_both_vendors_and_names_the_call_that_hangs() {
    let libraries = format!(
        "collectors.libraries=[\"gaudi={}\",\"ascend={}\"]",
        tests::fake("hlml").display(),
        tests::fake("dcmi").display()
    );
    let arguments = ["--set", libraries.as_str(), "--set", "beat.interval=200ms"];
    let environment = [
        ("WATTKEEPER_FAKE_HLML", Path::new("load 0 training;hang 1 hlml_device_get_temperature")),
        ("WATTKEEPER_FAKE_DCMI", Path::new("load 0 decode")),
    ];
    let agent = Agent::start(&arguments, &environment);
    let ascends = || agent.get("/metrics").text().matches("vendor=\"huawei\"").count() > 0;
    eventually("Ascend devices are there", ascends);
    assert!(agent.metric("wattkeeper_accelerator_power_watts", &["kind=\"npu\""]).is_some_and(|w| w > 50.0));
    // HLML is read by one thread: while a call of it hangs, none of its devices can be read, and Ascend goes on.
    eventually("the call is named", || {
        let state = agent.get("/state").json();
        let events = state["events"].as_array().unwrap().clone();
        events.iter().any(|event| event["detail"] == "hlml_device_get_temperature")
    });
    assert!(ascends());
}

#[test]
fn a_library_that_is_none_is_named_as_lacking_its_symbols() {
    for kind in [GAUDI, ASCEND] {
        let libraries = BTreeMap::from([(kind.source.to_owned(), PathBuf::from("libm.so.6"))]);
        let options = Options { libraries, ..Options::default() };
        assert_eq!((kind.open)(&options).err().unwrap().reason, Reason::SymbolMissing);
        let libraries = BTreeMap::from([(kind.source.to_owned(), PathBuf::from("/nowhere/lib.so"))]);
        let options = Options { libraries, ..Options::default() };
        assert_eq!((kind.open)(&options).err().unwrap().reason, Reason::Missing);
        assert!((kind.open)(&Options::default()).unwrap().is_none(), "this host has none");
    }
}

#[test]
fn a_node_of_four_vendors_is_read_by_one_agent_through_the_libraries_and_files_of_each() {
    use fake_sysfs::Tree;
    use sim::profile::MI300X;
    let home = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(home.path(), sim::Node::of(&[&MI300X; 4], 7, 0)).unwrap();
    tree.node().set_workload(0, sim::Workload::Training);
    tree.step(2_000_000_000).unwrap();
    let file = home.path().join("node");
    fake_nvml::Control::open_as(&file, &sim::profile::H100, 4, 1).unwrap();
    let libraries = format!(
        "collectors.libraries=[\"nvml={}\",\"gaudi={}\",\"ascend={}\"]",
        tests::fake("nvml").display(),
        tests::fake("hlml").display(),
        tests::fake("dcmi").display()
    );
    let sys = format!("collectors.sys={}", home.path().join("sys").display());
    let arguments = ["--set", libraries.as_str(), "--set", sys.as_str(), "--set", "beat.interval=200ms"];
    let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &file)]);
    let by_vendor = |vendor: &str| {
        let page = agent.get("/metrics").text();
        let of_it = |line: &&str| {
            let kind = line.contains("kind=\"gpu\"") || line.contains("kind=\"npu\"");
            line.starts_with("wattkeeper_device_info{") && kind && line.contains(vendor)
        };
        page.lines().filter(of_it).count()
    };
    for (vendor, count) in [("nvidia", 4), ("amd", 4), ("intel", 2), ("huawei", 2)] {
        let label = format!("vendor=\"{vendor}\"");
        eventually(&format!("{count} devices of {vendor} are there"), || by_vendor(&label) == count);
    }
    let powers = || {
        let page = agent.get("/metrics").text();
        let instant = |line: &&str| {
            line.starts_with("wattkeeper_accelerator_power_watts{")
                && (line.contains("instant") || line.contains("average"))
        };
        let devices = page.lines().filter(instant).filter_map(|line| line.split("device=\"").nth(1));
        devices
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    eventually("each says what it draws", || powers() == 12);
}
