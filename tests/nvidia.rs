//! NVIDIA's sources over the fake library: the bus and the boards that it hands over, driven beat by beat in this process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed"
)]
use collectors::nvml;
use collectors::{Entry, Options};
use fake_nvml::Control;
use model::{
    Absence, Arrival, Batch, Calls, Collector, DeviceInfo, DeviceKind, Metric, NoticeKind, Reading, Reason,
    Slot, Timestamp,
};
use std::collections::BTreeMap;
use std::os::fd::IntoRawFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The state that every copy of the library in this process shares.
fn node_file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = tempfile::tempfile().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.into_raw_fd()));
        #[allow(
            clippy::disallowed_methods,
            reason = "the library takes its file from there, as in production"
        )]
        // SAFETY: set once, under the lock that every Rust reader of the environment takes; nothing here reads it from C.
        unsafe {
            std::env::set_var("WATTKEEPER_FAKE_NVML", &path);
        }
        path
    })
}

/// A fresh node of eight boards whose time stands still; one test at a time.
fn node() -> (Control, MutexGuard<'static, ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let control = Control::open(node_file()).unwrap();
    control.renew(&sim::profile::H100, 8, 1);
    control.freeze();
    (control, alone)
}

fn options() -> Options {
    let libraries = BTreeMap::from([("nvml".to_owned(), tests::fake_library())]);
    Options { libraries, ..Options::default() }
}

/// A source and what it said last.
struct Child {
    key: String,
    name: String,
    collector: Box<dyn Collector>,
    calls: Calls,
    batch: Batch,
}

impl Child {
    fn beat(&mut self, now: Timestamp) -> Result<(), Reason> {
        self.batch.begin();
        self.collector.collect(now, &mut self.batch).map_err(|error| error.reason)
    }

    fn slot(&self, kind: DeviceKind, place: usize) -> Slot {
        self.batch.devices().filter(|(_, info)| info.kind == kind).nth(place).unwrap().0
    }

    fn gpu(&self) -> Slot {
        self.slot(DeviceKind::Gpu, 0)
    }

    fn info(&self) -> &Arc<DeviceInfo> {
        self.batch.info(self.gpu())
    }

    fn get(&self, metric: Metric) -> Option<Reading> {
        self.batch.reading(self.gpu(), metric)
    }

    fn value(&self, metric: Metric) -> f64 {
        let reading = self.get(metric);
        reading.and_then(Reading::value).unwrap_or_else(|| panic!("{metric} of {}: {reading:?}", self.name))
    }

    fn notices(&self) -> Vec<(NoticeKind, u32)> {
        self.batch.notices().iter().map(|notice| (notice.kind, notice.code)).collect()
    }
}

/// The bus with its boards, as the agent runs them, on one thread.
struct Rig {
    bus: Box<dyn Collector>,
    calls: Calls,
    batch: Batch,
    children: Vec<Child>,
    now: Timestamp,
}

impl Rig {
    fn open() -> Self {
        let options = options();
        let calls = options.calls.clone();
        let bus = nvml::open(&options).unwrap().unwrap();
        Self { bus, calls, batch: Batch::default(), children: Vec::new(), now: Timestamp::default() }
    }

    /// One beat of a second: the bus, then every board. Boards that end are let go.
    fn beat(&mut self) -> Result<(), Reason> {
        self.now = self.now.after(Duration::from_secs(1));
        self.batch.begin();
        let met = self.bus.collect(self.now, &mut self.batch).map_err(|error| error.reason);
        for Arrival { key, name, collector, calls } in self.bus.arrivals() {
            assert!(self.children.iter().all(|child| child.key != key), "{key} has two sources");
            self.children.push(Child { key, name, collector, calls, batch: Batch::default() });
        }
        let now = self.now;
        self.children.retain_mut(|child| child.beat(now) != Err(Reason::Lost));
        met
    }

    fn beats(&mut self, count: usize) {
        (0..count).for_each(|_| self.beat().unwrap());
    }

    fn named(&self, name: &str) -> &Child {
        self.children.iter().find(|child| child.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn made(&self) -> u64 {
        self.calls.made() + self.children.iter().map(|child| child.calls.made()).sum::<u64>()
    }
}

#[test]
fn everything_that_an_h100_can_say_is_read() {
    let (control, _alone) = node();
    control.load(0, "training").unwrap();
    control.advance(Duration::from_secs(5));
    control
        .spoil(0, |bad| {
            bad.ecc[2] = [5, 3];
            bad.ecc[7] = [2, 1];
            bad.remapped = [4, 1, 1, 0];
            bad.recovery = 1;
            bad.sram = [6, 1];
            bad.inforom = 1;
            bad.fabric_health = 0b10_01_10_10;
        })
        .unwrap();
    let mut rig = Rig::open();
    rig.beats(3);
    assert_eq!(rig.children.len(), 8);
    let gpu = rig.named("nvml/gpu0");
    let node = control.node();
    let board = &node.boards()[0];
    assert_eq!(gpu.key, node.uuid(0));
    for (metric, expected) in [
        (Metric::EccCorrectedMemory, 5.0),
        (Metric::EccUncorrectedMemory, 3.0),
        (Metric::EccCorrectedSram, 2.0),
        (Metric::EccUncorrectedSram, 1.0),
        (Metric::EccUncorrectedRegisters, 0.0),
        (Metric::EccCorrectedL2, 0.0),
        (Metric::EccMode, 1.0),
        (Metric::RowsRemappedCorrectable, 4.0),
        (Metric::RowsRemappedUncorrectable, 1.0),
        (Metric::RowRemapPending, 1.0),
        (Metric::RowRemapFailed, 0.0),
        (Metric::RemapBanksMax, 635.0),
        (Metric::RemapBanksHigh, 5.0),
        (Metric::RecoveryAction, 1.0),
        (Metric::FabricState, 3.0),
        (Metric::FabricStatus, 0.0),
        (Metric::FabricRouteUnhealthy, 1.0),
        (Metric::FabricDegraded, 0.0),
        (Metric::FabricRouteRecovery, 0.0),
        (Metric::FabricAccessTimeout, 0.0),
        (Metric::EccUncorrectedSramAggregate, 6.0),
        (Metric::SramThreshold, 1.0),
        (Metric::InforomValid, 0.0),
        (Metric::TemperatureMarginSlowdown, -2.0),
        (Metric::PersistenceMode, 1.0),
        (Metric::PartitionMode, 0.0),
        (Metric::NumaNode, 0.0),
        (Metric::Links, 18.0),
        (Metric::LinksUp, 18.0),
        (Metric::JpegUtilization, 0.0),
        (Metric::OpticalFlowUtilization, 0.0),
        (Metric::SmActive, 0.9 * board.busy),
        (Metric::DramActive, board.memory_activity),
        (Metric::PcieTransmit, 200.0 * board.busy * 1_048_576.0),
        (Metric::LinkReceive, 4000.0 * board.busy * 1_048_576.0),
        (Metric::TemperatureMargin, (board.profile().slowdown_c - board.temperature_c).trunc()),
        (Metric::MemoryReserved, (board.profile().memory_bytes / 128) as f64),
        (Metric::Bar1Size, 2.0_f64.powi(37)),
        (Metric::Processes, 1.0),
        (Metric::Up, 1.0),
    ] {
        assert!(
            (gpu.value(metric) - expected).abs() <= 1e-6 * expected.abs(),
            "{metric}: {}",
            gpu.value(metric)
        );
    }
    for metric in [
        Metric::PowerInstant,
        Metric::Energy,
        Metric::ViolationPower,
        Metric::ViolationReliability,
        Metric::TensorActive,
        Metric::SmOccupancy,
        Metric::GraphicsActive,
        Metric::Fp64Active,
        Metric::IntegerActive,
    ] {
        gpu.value(metric);
    }
    // What this board lacks is not said at all.
    for metric in [Metric::FanSpeed, Metric::FanRpm, Metric::PowerModule, Metric::PagesRetiredSingle] {
        assert_eq!(gpu.get(metric), None, "{metric}");
    }
    let process = &gpu.batch.processes()[0];
    let share = (board.busy * 100.0).trunc() / 100.0;
    assert_eq!((process.utilization, process.memory_bytes), (Some(share), Some(board.memory_used_bytes)));
    let info = gpu.info();
    let peers = &info.attributes["peers"];
    assert!(peers.starts_with("gpu1:nvlink gpu2:nvlink") && peers.ends_with("gpu7:nvlink"), "{peers}");
    assert_eq!(info.attributes["driver"], "570.00.00");
    assert_eq!(rig.named("nvml/gpu7").value(Metric::NumaNode), 1.0);
}

#[test]
fn each_link_is_a_device_of_its_own_and_its_errors_add_up() {
    let (control, _alone) = node();
    control.load(1, "training").unwrap();
    control.advance(Duration::from_secs(5));
    control.link(1, 4, false).unwrap();
    control
        .spoil(1, |bad| {
            bad.link_errors[4] = [1, 2, 3, 4, 0];
            bad.link_errors[17] = [10, 0, 30, 0, 0];
        })
        .unwrap();
    let mut rig = Rig::open();
    rig.beats(2);
    let gpu = rig.named("nvml/gpu1");
    let links: Vec<_> = gpu.batch.devices().filter(|(_, info)| info.kind == DeviceKind::Link).collect();
    assert_eq!(links.len(), 18);
    assert!(links.iter().all(|(_, info)| info.parent == gpu.key && info.attributes.contains_key("remote")));
    assert_eq!(links[17].1.name, "gpu1/link17");
    let value = |place: usize, metric| gpu.batch.reading(links[place].0, metric).and_then(Reading::value);
    assert_eq!((value(4, Metric::LinkUp), value(5, Metric::LinkUp)), (Some(0.0), Some(1.0)));
    assert_eq!(value(5, Metric::LinkSpeed), Some(25e9));
    assert!(value(5, Metric::LinkSent) > Some(1e6) && value(5, Metric::LinkReceived) > Some(1e6));
    assert_eq!((value(4, Metric::LinkReplay), value(4, Metric::LinkRecovery)), (Some(1.0), Some(2.0)));
    assert_eq!((value(4, Metric::LinkCrcFlit), value(4, Metric::LinkCrcData)), (Some(3.0), Some(4.0)));
    assert_eq!(value(4, Metric::LinkSymbol), None, "counters of the next generation are not there");
    for (metric, expected) in [
        (Metric::LinksUp, 17.0),
        (Metric::LinkErrorsReplay, 11.0),
        (Metric::LinkErrorsRecovery, 2.0),
        (Metric::LinkErrorsCrc, 37.0),
    ] {
        assert_eq!(gpu.value(metric), expected, "{metric}");
    }
    control.link(1, 4, true).unwrap();
    rig.beats(11);
    assert_eq!(rig.named("nvml/gpu1").value(Metric::LinksUp), 18.0);
}

#[test]
fn links_of_generation_five_tell_which_share_of_their_bits_is_wrong() {
    let (control, _alone) = node();
    // 3e-13 after correction, and no symbol that was not mended.
    control.spoil(1, |bad| bad.bit_errors = [3 << 8 | 13, 15 << 8 | 255]).unwrap();
    let mut rig = Rig::open();
    rig.beats(2);
    let gpu = rig.named("nvml/gpu1");
    let link = gpu.slot(DeviceKind::Link, 0);
    let value = |metric| gpu.batch.reading(link, metric).and_then(Reading::value);
    let share = value(Metric::LinkEffectiveErrors).unwrap();
    assert!((share / 3e-13 - 1.0).abs() < 1e-9, "{share}");
    assert!(value(Metric::LinkSymbolErrors).is_some_and(|share| share > 0.0 && share < 1e-200));
    assert_eq!((value(Metric::LinkSymbol), value(Metric::LinkReplay)), (Some(0.0), None));
}

#[test]
fn instances_come_and_go_with_their_own_memory_processes_and_profile() {
    let (control, _alone) = node();
    control.load(2, "decode").unwrap();
    control.advance(Duration::from_secs(5));
    control.cut(2, 3).unwrap();
    control.spoil(2, |bad| bad.ecc[7] = [9, 6]).unwrap();
    let mut rig = Rig::open();
    rig.beats(2);
    let gpu = rig.named("nvml/gpu2");
    assert_eq!((gpu.value(Metric::PartitionMode), gpu.value(Metric::Processes)), (1.0, 3.0));
    assert_eq!(gpu.get(Metric::SmActive), None, "a board that is cut has no profile as a whole");
    let part = gpu.slot(DeviceKind::Partition, 1);
    let info = gpu.batch.info(part);
    let attribute = |name: &str| info.attributes[name].as_str();
    assert_eq!((attribute("profile"), attribute("gi"), attribute("ci")), ("1g.10gb", "8", "0"));
    assert_eq!((info.parent.as_str(), info.name.as_str()), (gpu.key.as_str(), "gpu2/mig8.0"));
    assert!(info.key.starts_with("MIG-"), "{}", info.key);
    let value = |metric| gpu.batch.reading(part, metric).and_then(Reading::value);
    assert_eq!(value(Metric::MemorySize), Some((10_u64 << 30) as f64));
    assert_eq!((value(Metric::Processes), value(Metric::Up)), (Some(1.0), Some(1.0)));
    assert!(value(Metric::SmActive) > Some(0.5));
    assert_eq!((value(Metric::EccUncorrectedSram), value(Metric::EccCorrectedSram)), (Some(6.0), None));
    let process = gpu.batch.processes().iter().find(|process| process.slot == part).unwrap();
    assert_eq!(process.utilization, None, "the driver does not say on instances");
    control.cut(2, 1).unwrap();
    rig.beats(11);
    let gpu = rig.named("nvml/gpu2");
    let parts = gpu.batch.devices().filter(|(_, info)| info.kind == DeviceKind::Partition).count();
    assert_eq!(parts, 1);
}

#[test]
fn a_call_that_hangs_on_one_board_leaves_the_others_as_they_are() {
    let (control, _alone) = node();
    let mut rig = Rig::open();
    rig.beats(2);
    control.hang_board(3, true).unwrap();
    let place = rig.children.iter().position(|child| child.name == "nvml/gpu3").unwrap();
    let mut hung = rig.children.remove(place);
    let (calls, now) = (hung.calls.clone(), rig.now.after(Duration::from_secs(1)));
    let worker = std::thread::spawn(move || {
        let answer = hung.beat(now);
        (hung, answer)
    });
    tests::eventually("the call is under way", || calls.present() == Some("nvmlDeviceGetFieldValues"));
    for _ in 0..20 {
        rig.beat().unwrap();
        assert_eq!(rig.children.len(), 7, "the board that hangs gets no second source");
        assert!(rig.children.iter().all(|child| child.value(Metric::PowerInstant) > 0.0));
    }
    assert!(!worker.is_finished());
    // What the driver reports of it is kept until it answers.
    control.xid(3, 119).unwrap();
    control.spoil(3, |bad| bad.vbios = 2).unwrap();
    control.hang_board(3, false).unwrap();
    let (mut hung, answer) = worker.join().unwrap();
    assert_eq!(answer, Ok(()));
    // The error may have come while the call was returning.
    let mut told = hung.notices();
    hung.batch.begin();
    hung.collector.reopen(rig.now, &mut hung.batch).unwrap();
    assert_eq!(hung.notices(), [(NoticeKind::Changed, 0)]);
    tests::eventually("the error is told", || {
        hung.beat(rig.now.after(Duration::from_secs(1))).unwrap();
        told.append(&mut hung.notices());
        told == [(NoticeKind::Xid, 119)]
    });
    assert_eq!(hung.value(Metric::XidErrors), 1.0);
}

#[test]
fn a_lost_board_tells_why_and_comes_back_with_its_count() {
    let (control, _alone) = node();
    let mut rig = Rig::open();
    rig.beats(2);
    control.lose(5).unwrap();
    rig.beat().unwrap();
    let lost = rig.named("nvml/gpu5");
    assert_eq!(lost.batch.devices().count(), 0, "its links are gone with it");
    assert!(lost.notices().contains(&(NoticeKind::Gone, 0)));
    // The error that explains the loss comes after it.
    control.xid(5, 79).unwrap();
    let (now, place) = (rig.now, rig.children.iter().position(|child| child.name == "nvml/gpu5").unwrap());
    tests::eventually("the error is told", || {
        rig.children[place].beat(now).unwrap();
        rig.children[place].notices() == [(NoticeKind::Xid, 79)]
    });
    rig.beats(3);
    assert_eq!(rig.children.len(), 7, "the source has ended");
    control.give_back(5).unwrap();
    rig.beats(8);
    assert_eq!(rig.children.len(), 8);
    assert_eq!(rig.named("nvml/gpu5").value(Metric::XidErrors), 1.0);
    assert_eq!(rig.named("nvml/gpu5").value(Metric::XidLastCode), 79.0);
}

#[test]
fn an_identity_that_is_listed_elsewhere_keeps_its_one_source() {
    let (control, _alone) = node();
    let mut rig = Rig::open();
    rig.beats(2);
    let uuid = rig.named("nvml/gpu7").key.clone();
    // The first board is reset and listed last; the others move up.
    control.lose(0).unwrap();
    rig.beats(4);
    control.reorder(&[1, 2, 3, 4, 5, 6, 7, 0]).unwrap();
    control.give_back(0).unwrap();
    rig.beats(12);
    let mut keys: Vec<_> = rig.children.iter().map(|child| child.key.clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), rig.children.len()), (8, 8));
    let moved = rig.children.iter().find(|child| child.key == uuid).unwrap();
    assert_eq!((moved.name.as_str(), moved.info().name.as_str()), ("nvml/gpu7", "gpu6"));
}

#[test]
fn of_two_boards_with_one_identity_the_first_is_read_and_says_so() {
    let (control, _alone) = node();
    control.impersonate(4, 2).unwrap();
    let mut rig = Rig::open();
    rig.beat().unwrap();
    assert_eq!(rig.children.len(), 7);
    assert_eq!(rig.named("nvml/gpu2").notices(), [(NoticeKind::Duplicate, 0)]);
}

fn reflex_and_hands(entry: &Entry, key: &str) -> (Box<dyn Collector>, Box<dyn model::Actuator>) {
    let reflex = entry.reflex.unwrap()(&options(), key).unwrap().unwrap();
    (reflex, entry.actuator.unwrap()(&options()).unwrap().unwrap())
}

#[test]
fn after_a_driver_upgrade_the_library_is_loaded_anew_without_a_restart() {
    let (control, _alone) = node();
    let mut rig = Rig::open();
    rig.beats(2);
    let key = rig.children[0].key.clone();
    let (mut reflex, mut hands) = reflex_and_hands(&nvml::ENTRY, &key);
    assert!(hands.enforced(&key, model::Knob::PowerLimit).is_ok());
    let mut powers = Batch::default();
    reflex.collect(rig.now, &mut powers).unwrap();
    assert_eq!(powers.readings().len(), 1);
    control.driver(580, 95);
    while rig.beat().is_ok() {
        assert!(rig.children.len() < 8, "the boards end first");
    }
    assert!(rig.children.is_empty());
    drop(rig);
    // The reflex and the actuator have let go, so that this is a new library.
    let mut rig = Rig::open();
    rig.beats(2);
    assert_eq!(rig.children.len(), 8);
    assert_eq!(rig.children[0].info().attributes["driver"], "580.95.00");
    assert!(hands.enforced(&key, model::Knob::PowerLimit).is_ok());
    powers.begin();
    reflex.collect(rig.now, &mut powers).unwrap();
    assert_eq!(powers.readings().len(), 1);
}

/// An order for the highest clock of a board, inside what its actuator says.
fn clock_order(hands: &mut dyn model::Actuator, key: &str, hertz: f64) -> model::Order {
    let span = hands.span(key, model::Knob::ClockMax).unwrap();
    let mut table = model::DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key))).unwrap();
    model::Order::new(device, Arc::from(key), (model::Knob::ClockMax, hertz), span)
}

fn hands() -> Box<dyn model::Actuator> {
    nvml::open_actuator(&options()).unwrap().unwrap()
}

#[test]
fn a_locked_clock_lowers_power_where_a_cap_does_nothing_and_is_freed_at_the_highest() {
    let (control, _alone) = node();
    control.load(3, "decode").unwrap();
    control.advance(Duration::from_secs(5));
    let (mut hands, key) = (hands(), control.node().uuid(3));
    let span = hands.span(&key, model::Knob::ClockMax).unwrap();
    assert_eq!((span.min(), span.max()), (345e6, 1980e6));
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 1980e6, "never locked by us");
    let free_w = control.true_power(3).unwrap();
    // Between two whole megahertz the lower one is set.
    let order = clock_order(hands.as_mut(), &key, 1_100_900_000.0);
    assert_eq!(hands.apply(&order).unwrap(), 1100e6);
    control.advance(Duration::from_secs(2));
    assert!(control.true_power(3).unwrap() < 0.85 * free_w);
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 1100e6);
    let order = clock_order(hands.as_mut(), &key, 1980e6);
    assert_eq!(hands.apply(&order).unwrap(), 1980e6);
    assert_eq!(control.node().boards()[3].locked_hz, 0.0, "reset, and not locked at the highest");
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 1980e6);
    assert!(control.node().boards()[2].locked_hz == 0.0, "other boards are left alone");
}

#[test]
fn a_clock_can_be_locked_anywhere_from_anywhere() {
    let (control, _alone) = node();
    let (mut hands, key) = (hands(), control.node().uuid(0));
    let wanted = [345e6, 1980e6, 345e6, 1500e6, 900e6, 1965e6, 360e6];
    for hertz in wanted {
        let order = clock_order(hands.as_mut(), &key, hertz);
        assert_eq!(hands.apply(&order).unwrap(), hertz);
        let locked = control.node().boards()[0].locked_hz;
        assert_eq!(locked, if hertz < 1980e6 { hertz } else { 0.0 });
    }
}

#[test]
fn a_lock_that_another_program_takes_off_is_not_believed_for_long() {
    let (control, _alone) = node();
    control.load(1, "training").unwrap();
    let (mut hands, key) = (hands(), control.node().uuid(1));
    let order = clock_order(hands.as_mut(), &key, 990e6);
    hands.apply(&order).unwrap();
    control.advance(Duration::from_secs(2));
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 990e6);
    control.unlock(1).unwrap();
    control.advance(Duration::from_secs(2));
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 990e6, "one look proves nothing");
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 1980e6);
}

#[test]
fn a_clock_that_may_not_or_cannot_be_locked_says_why_and_nothing_is_believed() {
    let (control, _alone) = node();
    let (mut hands, key) = (hands(), control.node().uuid(2));
    let order = clock_order(hands.as_mut(), &key, 990e6);
    control.read_only(true).unwrap();
    assert_eq!(hands.apply(&order).unwrap_err().reason, Reason::Denied);
    control.read_only(false).unwrap();
    control.fail_board(2, "nvmlDeviceSetGpuLockedClocks", 3).unwrap();
    assert_eq!(hands.apply(&order).unwrap_err().reason, Reason::Unsupported);
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 1980e6);
    control.fail_board(2, "nvmlDeviceSetGpuLockedClocks", 0).unwrap();
    control.fail_board(2, "nvmlDeviceGetMinMaxClockOfPState", 3).unwrap();
    let span = hands.span(&key, model::Knob::ClockMax).unwrap();
    assert_eq!((span.min(), span.max()), (345e6, 1980e6), "from the list of clocks");
    control.fail_board(2, "nvmlDeviceGetSupportedMemoryClocks", 3).unwrap();
    assert_eq!(hands.span(&key, model::Knob::ClockMax).unwrap_err().reason, Reason::Unsupported);
    assert_eq!(hands.enforced(&key, model::Knob::CpuQuota).unwrap_err().reason, Reason::Unsupported);
    control.lose(2).unwrap();
    assert_eq!(hands.apply(&order).unwrap_err().reason, Reason::Lost);
}

#[test]
fn a_driver_that_was_loaded_anew_has_forgotten_its_locks_and_so_have_we() {
    let (control, _alone) = node();
    let (mut hands, key) = (hands(), control.node().uuid(4));
    let order = clock_order(hands.as_mut(), &key, 990e6);
    hands.apply(&order).unwrap();
    control.driver(580, 95);
    assert!(hands.enforced(&key, model::Knob::ClockMax).is_err(), "the library was made for the old driver");
    assert_eq!(hands.enforced(&key, model::Knob::ClockMax).unwrap(), 1980e6);
    assert_eq!(hands.apply(&order).unwrap(), 990e6, "and it can be locked again");
}

#[test]
fn one_function_that_says_that_the_driver_is_gone_proves_nothing() {
    let (control, _alone) = node();
    let mut rig = Rig::open();
    rig.beats(2);
    control.fail("nvmlDeviceGetTemperature", 9).unwrap();
    rig.beats(3);
    assert_eq!(rig.children.len(), 8);
    assert_eq!(rig.children[0].get(Metric::Temperature), Some(Reading::Absent(Absence::Lost)));
    control.fail("nvmlDeviceGetTemperature", 0).unwrap();
}

#[test]
fn one_board_that_fails_alone_is_absent_alone() {
    let (control, _alone) = node();
    let mut rig = Rig::open();
    rig.beats(2);
    control.fail_board(6, "nvmlDeviceGetTemperature", 10).unwrap();
    rig.beat().unwrap();
    assert_eq!(rig.named("nvml/gpu6").get(Metric::Temperature), Some(Reading::Absent(Absence::Late)));
    assert!(rig.named("nvml/gpu5").value(Metric::Temperature) > 0.0);
}

#[test]
fn a_beat_of_eight_boards_costs_a_fixed_number_of_calls() {
    let (control, _alone) = node();
    (0..8).for_each(|board| control.load(board, "training").unwrap());
    control.advance(Duration::from_secs(5));
    let mut rig = Rig::open();
    rig.beats(30);
    let counts: Vec<u64> = (0..20)
        .map(|_| {
            let before = rig.made();
            rig.beat().unwrap();
            rig.made() - before
        })
        .collect();
    let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
    eprintln!("driver calls a beat for 8 H100: {least} to {most}, {counts:?}");
    assert!(least >= 8 * 10 && most <= 8 * 25 + 100, "{counts:?}");
}

#[test]
fn what_an_a100_lacks_is_found_out_once() {
    let (control, _alone) = node();
    control.renew(&sim::profile::A100, 1, 1);
    let mut rig = Rig::open();
    rig.beats(15);
    let gpu = rig.named("nvml/gpu0");
    assert_eq!(gpu.get(Metric::SmActive), None);
    assert_eq!(gpu.value(Metric::PagesRetiredSingle), 0.0);
    assert_eq!(gpu.value(Metric::Links), 12.0);
    assert_eq!(gpu.value(Metric::LinkErrorsOther), 0.0);
    let before = rig.made();
    rig.beat().unwrap();
    assert!(rig.made() - before < 25, "{}", rig.made() - before);
}

/// Open files, threads and resident pages of this process.
fn held() -> (usize, usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = pages.split(' ').nth(1).unwrap().parse().unwrap();
    (count("/proc/self/fd"), count("/proc/self/task"), pages)
}

/// Opens the source, lets every board fail, and drops it all.
fn fail_once(control: &Control) {
    let mut rig = Rig::open();
    rig.beat().unwrap();
    assert_eq!(rig.children.len(), 1);
    control.fail("nvmlDeviceGetCount_v2", 1).unwrap();
    control.fail("nvmlDeviceGetFieldValues", 1).unwrap();
    while rig.beat().is_ok() {}
    control.fail("nvmlDeviceGetCount_v2", 0).unwrap();
    control.fail("nvmlDeviceGetFieldValues", 0).unwrap();
}

#[test]
fn ten_thousand_failures_and_reopenings_leave_nothing_behind() {
    let (control, _alone) = node();
    control.renew(&sim::profile::A100, 1, 1);
    // A watcher's thread takes up to a fifth of a second to end, so that only some have one.
    (0..20).for_each(|_| fail_once(&control));
    control.fail("nvmlEventSetCreate", 3).unwrap();
    let round = |count: usize| {
        for _ in 0..count / 2 {
            control.fail("nvmlInit_v2", 999).unwrap();
            assert!(nvml::open(&options()).is_err());
            control.fail("nvmlInit_v2", 0).unwrap();
            fail_once(&control);
        }
    };
    round(200);
    let before = held();
    round(10_000);
    let after = held();
    eprintln!("files, threads, pages: {before:?} before and {after:?} after");
    assert_eq!((after.0, after.1), (before.0, before.1));
    // Two mebibytes: an allocator's slack, and less than a fifth of a kibibyte each.
    assert!(after.2 < before.2 + 512, "{before:?} {after:?}");
}

#[test]
fn a_library_that_cannot_be_used_says_why() {
    let (_control, _alone) = node();
    let home = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| {
        let libraries = BTreeMap::from([("nvml".to_owned(), path.to_owned())]);
        nvml::open(&Options { libraries, ..Options::default() }).err().map(|error| error.reason)
    };
    // The header of a library for another machine: 64-bit, little-endian, for AArch64.
    let mut header = std::fs::read(tests::fake_library()).unwrap();
    header[18] = 0xb7;
    let foreign = home.path().join("foreign.so");
    std::fs::write(&foreign, header).unwrap();
    assert_eq!(open(&foreign), Some(Reason::Malformed));
    let text = home.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    assert_eq!(open(&text), Some(Reason::Malformed));
    assert_eq!(open(&home.path().join("none.so")), Some(Reason::Missing));
    assert_eq!(open(std::path::Path::new("libm.so.6")), Some(Reason::SymbolMissing));
}

fn agent_over(file: &std::path::Path) -> tests::Agent {
    let library = format!("collectors.libraries=[\"nvml={}\"]", tests::fake_library().display());
    let arguments = ["--set", library.as_str(), "--set", "beat.interval=200ms"];
    tests::Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", file)])
}

fn powers(agent: &tests::Agent) -> usize {
    agent.get("/metrics").text().matches("wattkeeper_accelerator_power_watts{").count()
}

#[test]
fn an_agent_with_one_hung_board_goes_on_with_the_other_seven() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let agent = agent_over(&file);
    tests::eventually("all are there", || powers(&agent) == 16);
    control.hang_board(3, true).unwrap();
    tests::eventually("one is late", || powers(&agent) == 14);
    let busy = || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap();
    let before = busy();
    tests::eventually("the beat goes on", || busy() > before + 5.0);
    assert_eq!(powers(&agent), 14, "the other seven stay fresh");
    let state = agent.get("/state").text();
    assert!(state.contains("nvmlDeviceGetFieldValues"), "the call is named");
    control.hang_board(3, false).unwrap();
    tests::eventually("it is back", || powers(&agent) == 16);
}

#[test]
fn an_agent_follows_a_driver_upgrade_without_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let agent = agent_over(&file);
    let driver = |version: &str| agent.get("/state").text().matches(&format!("\"{version}\"")).count();
    tests::eventually("the old driver is told", || driver("570.00.00") == 8);
    control.driver(580, 95);
    tests::eventually("the new driver is told", || driver("580.95.00") == 8 && powers(&agent) == 16);
    assert_eq!(driver("570.00.00"), 0);
}
