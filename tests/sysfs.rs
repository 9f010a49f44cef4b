//! AMD and Intel cards through the production sources, over a fake sysfs that the simulator drives in closed loop.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use collectors::{Entry, Options, Roots};
use fake_sysfs::{Quirk, Tree};
use model::error::Reason;
use model::{
    Absence, Actuator, Arrival, Batch, Collector, DeviceKind, DeviceTable, Knob, Metric, NoticeKind, Order,
    Reading, Slot, Timestamp, Vendor, Watts,
};
use sim::board::reason;
use sim::profile::{MAX1550, MI300X};
use sim::{Fault, Node, Profile, Workload};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A card that is read by a source of its own.
struct Child {
    arrival: Arrival,
    batch: Batch,
    lost: Option<Reason>,
}

impl Child {
    fn slot(&self) -> Slot {
        self.batch.devices().find(|(_, info)| info.kind.is_accelerator()).map(|(slot, _)| slot).unwrap()
    }

    fn reading(&self, metric: Metric) -> Option<Reading> {
        self.batch.reading(self.slot(), metric)
    }

    fn value(&self, metric: Metric) -> f64 {
        let reading = self.reading(metric);
        reading.and_then(Reading::value).unwrap_or_else(|| panic!("{metric} is {reading:?}"))
    }

    fn noticed(&self, kind: NoticeKind) -> bool {
        self.batch.notices().iter().any(|notice| notice.kind == kind)
    }
}

/// The tree, a bus, and what it met.
struct Bench {
    home: tempfile::TempDir,
    tree: Tree,
    entry: &'static Entry,
    bus: Box<dyn Collector>,
    batch: Batch,
    children: Vec<Child>,
    now: Timestamp,
}

impl Bench {
    fn new(entry: &'static Entry, profiles: &[&Profile], quirks: &[Quirk]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let tree = Tree::with(home.path(), Node::of(profiles, 7, 0), quirks).unwrap();
        let bus = (entry.open)(&options(home.path())).unwrap().expect("the tree has cards");
        let (batch, now) = (Batch::default(), Timestamp::default());
        Self { home, tree, entry, bus, batch, children: Vec::new(), now }
    }

    fn amd(count: usize, quirks: &[Quirk]) -> Self {
        Self::new(&collectors::amd::ENTRY, &vec![&MI300X; count], quirks)
    }

    fn intel(count: usize, quirks: &[Quirk]) -> Self {
        Self::new(&collectors::intel::ENTRY, &vec![&MAX1550; count], quirks)
    }

    /// One beat: the bus, then every card, as the agent does.
    fn collect(&mut self) {
        self.batch.begin();
        self.bus.collect(self.now, &mut self.batch).unwrap();
        self.children.retain(|child| child.lost.is_none());
        let met = self.bus.arrivals().into_iter();
        self.children.extend(met.map(|arrival| Child { arrival, batch: Batch::default(), lost: None }));
        for child in &mut self.children {
            child.batch.begin();
            child.lost =
                child.arrival.collector.collect(self.now, &mut child.batch).err().map(|error| error.reason);
        }
    }

    /// A beat a second for as long.
    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now = self.now.after(Duration::from_secs(1));
            self.tree.step(self.now.mono_ns).unwrap();
            self.collect();
        }
    }

    fn child(&self, key: &str) -> &Child {
        self.children
            .iter()
            .find(|child| child.arrival.key == key)
            .unwrap_or_else(|| panic!("{key} was not met"))
    }

    fn keys(&self) -> Vec<&str> {
        self.children.iter().map(|child| child.arrival.key.as_str()).collect()
    }

    fn actuator(&self) -> Box<dyn Actuator> {
        (self.entry.actuator.unwrap())(&options(self.home.path())).unwrap().unwrap()
    }

    fn load(&mut self, workload: Workload) {
        for board in 0..self.tree.node().count as usize {
            self.tree.node().set_workload(board, workload);
        }
    }
}

fn options(home: &Path) -> Options {
    Options { roots: Roots::below(home), ..Options::default() }
}

/// An order as the guard would make it from what the card says of its range.
fn order(child: &Child, limit_w: f64) -> Order {
    let watts = |metric| Watts(child.value(metric));
    let range = model::Range::new(
        watts(Metric::PowerLimitMin),
        watts(Metric::PowerLimitMax),
        watts(Metric::PowerLimitDefault),
    );
    order_in(child, limit_w, range.unwrap())
}

fn order_in(child: &Child, limit_w: f64, range: model::Range) -> Order {
    let mut table = DeviceTable::default();
    let info = Arc::clone(child.batch.info(child.slot()));
    let device = table.register(&info).unwrap();
    Order::power_limit(device, Arc::from(info.key.as_str()), Watts(limit_w), range)
}

#[test]
fn every_amd_card_is_a_source_of_its_own_with_its_identity_and_readings() {
    let mut bench = Bench::amd(4, &[]);
    bench.load(Workload::Training);
    bench.run(3);
    let names: Vec<_> = bench.children.iter().map(|child| child.arrival.name.clone()).collect();
    assert_eq!(names, ["amd/amd0", "amd/amd1", "amd/amd2", "amd/amd3"]);
    for board in 0..4 {
        let (uuid, pci) = (bench.tree.node().uuid(board), bench.tree.node().pci(board));
        let truth = bench.tree.node().boards[board];
        let child = bench.child(&uuid);
        let info = child.batch.info(child.slot());
        assert_eq!(
            (info.kind, info.vendor, info.name.as_str()),
            (DeviceKind::Gpu, Vendor::Amd, &*format!("amd{board}"))
        );
        assert_eq!(info.model, "AMD Instinct MI300X");
        assert_eq!(info.attributes["pci"], pci);
        assert_eq!(info.attributes["compute_partition"], "SPX");
        let power = child.value(Metric::PowerInstant);
        assert!((power / truth.power_w - 1.0).abs() < 0.15, "{power} of {}", truth.power_w);
        assert!((child.value(Metric::Energy) / truth.energy_j - 1.0).abs() < 0.01);
        assert!((child.value(Metric::ClockSm) / truth.clock_hz - 1.0).abs() < 0.01);
        assert!((child.value(Metric::TemperatureHotspot) - truth.temperature_c).abs() < 0.01);
        assert_eq!(child.value(Metric::MemorySize), (192_u64 << 30) as f64);
        assert_eq!(child.value(Metric::MemoryUsed), truth.memory_used_bytes as f64);
        assert_eq!(child.value(Metric::PowerLimitEnforced), 750.0);
        assert_eq!(child.value(Metric::PcieGeneration), 5.0);
        assert_eq!(child.value(Metric::PcieWidth), 16.0);
        assert_eq!(child.value(Metric::Up), 1.0);
        assert!(
            child.reading(Metric::PowerAverage).is_none(),
            "which of the two powers it is, the driver says"
        );
    }
}

#[test]
fn an_older_amd_card_gives_its_average_power_and_the_edge_temperature() {
    let mut bench = Bench::amd(1, &[Quirk::Classic]);
    bench.load(Workload::Training);
    bench.run(2);
    let truth = bench.tree.node().boards[0];
    let child = &bench.children[0];
    assert!((child.value(Metric::PowerAverage) / truth.sensor.average_w() - 1.0).abs() < 0.01);
    assert!(child.reading(Metric::PowerInstant).is_none());
    assert!((child.value(Metric::Temperature) - truth.temperature_c + 4.0).abs() < 0.01);
    assert_eq!(child.value(Metric::FanRpm), 2100.0);
    assert!((child.value(Metric::FanSpeed) - 0.4).abs() < 0.01);
}

#[test]
fn processes_of_an_amd_card_have_its_memory_and_their_share_of_its_units() {
    let mut bench = Bench::amd(2, &[]);
    bench.tree.node().set_workload(0, Workload::Training);
    bench.run(2);
    let (busy, uuids) = (bench.tree.node().boards[0], [0, 1].map(|board| bench.tree.node().uuid(board)));
    let child = bench.child(&uuids[0]);
    let processes = child.batch.processes();
    assert_eq!(processes.len(), 1);
    assert_eq!(processes[0].pid, 4000);
    assert_eq!(processes[0].memory_bytes, Some(busy.memory_used_bytes));
    assert!((processes[0].utilization.unwrap() - busy.busy).abs() < 0.01);
    assert_eq!(child.value(Metric::Processes), 1.0);
    let other = bench.child(&uuids[1]);
    assert_eq!(other.batch.processes().len(), 0, "being allowed to use a card is not using it");
    assert_eq!(other.value(Metric::Processes), 0.0);
}

#[test]
fn links_and_errors_of_an_amd_card_are_counted() {
    let mut bench = Bench::amd(1, &[]);
    bench.tree.node().boards[0].ecc = [12, 1];
    bench.run(2);
    let child = &bench.children[0];
    assert_eq!(child.value(Metric::EccCorrectedMemory), 12.0);
    assert_eq!(child.value(Metric::EccUncorrectedVolatile), 1.0);
    assert_eq!(child.value(Metric::EccCorrectedFabric), 0.0);
    assert_eq!((child.value(Metric::Links), child.value(Metric::LinksUp)), (7.0, 7.0));
    let links: Vec<_> = child.batch.devices().filter(|(_, info)| info.kind == DeviceKind::Link).collect();
    assert_eq!(links.len(), 7);
    for (slot, info) in links {
        assert_eq!(info.parent, child.arrival.key);
        assert_eq!(child.batch.reading(slot, Metric::LinkUp), Some(Reading::Value(1.0)));
        assert!(child.batch.reading(slot, Metric::LinkReceived).unwrap().value().unwrap() > 0.0);
    }
}

#[test]
fn a_cap_on_an_amd_card_lowers_its_power_and_what_holds_it_down_is_said() {
    // Beats fall beside the dips of training, which come each 2.5 s.
    let mut bench = Bench::amd(2, &[]);
    bench.load(Workload::Training);
    bench.run(4);
    let key = bench.tree.node().uuid(0);
    let before = bench.child(&key).value(Metric::PowerInstant);
    let mut actuator = bench.actuator();
    assert_eq!(actuator.enforced(&key, Knob::PowerLimit).unwrap(), 750.0);
    assert_eq!(actuator.apply(&order(bench.child(&key), 400.0)).unwrap(), 400.0);
    bench.run(4);
    let child = bench.child(&key);
    let after = child.value(Metric::PowerInstant);
    assert!(before > 600.0 && after < 430.0, "{before} W, then {after} W");
    assert!(bench.tree.node().boards[0].power_w <= 401.0);
    let child = bench.child(&key);
    assert_eq!(child.value(Metric::PowerLimitEnforced), 400.0);
    assert_eq!(child.value(Metric::EventSwPowerCap), 1.0);
    assert_eq!(child.value(Metric::EventSwThermal), 0.0);
    assert!(child.value(Metric::ViolationPower) > 2.0);
    let other = bench.tree.node().uuid(1);
    assert!(bench.child(&other).value(Metric::PowerInstant) > 600.0, "the other card is left alone");
}

#[test]
fn an_amd_card_that_clips_or_ignores_a_cap_is_reported_with_what_it_does() {
    for (quirk, expected) in [(Quirk::Clips(80), 600.0), (Quirk::Ignores, 750.0)] {
        let mut bench = Bench::amd(1, &[quirk]);
        bench.load(Workload::Training);
        bench.run(2);
        let key = bench.tree.node().uuid(0);
        let mut actuator = bench.actuator();
        actuator.apply(&order(&bench.children[0], 400.0)).unwrap();
        bench.run(2);
        assert_eq!(actuator.enforced(&key, Knob::PowerLimit).unwrap(), expected, "{quirk:?}");
        assert_eq!(bench.children[0].value(Metric::PowerLimitEnforced), expected, "{quirk:?}");
        assert!(bench.children[0].value(Metric::PowerInstant) > 500.0, "{quirk:?}");
    }
}

#[test]
fn a_cap_that_lets_an_amd_card_go_reads_back_and_only_power_tells() {
    let mut bench = Bench::amd(1, &[Quirk::LetsGo(500)]);
    bench.load(Workload::Training);
    bench.run(3);
    let key = bench.tree.node().uuid(0);
    let mut actuator = bench.actuator();
    for (limit_w, holds) in [(550.0, true), (400.0, false), (550.0, true)] {
        assert_eq!(actuator.apply(&order(&bench.children[0], limit_w)).unwrap(), limit_w);
        bench.run(1);
        assert_eq!(actuator.enforced(&key, Knob::PowerLimit).unwrap(), limit_w);
        // Beats fall beside the dips of training, which come each 2.5 s.
        let powers = [(); 5].map(|()| {
            bench.run(1);
            bench.children[0].value(Metric::PowerInstant)
        });
        let most = powers.into_iter().fold(0.0, f64::max);
        assert_eq!(most <= 1.05 * limit_w, holds, "{limit_w} W: {powers:?}");
    }
}

#[test]
fn intel_cards_are_read_through_xe_and_through_i915() {
    for quirks in [&[][..], &[Quirk::I915]] {
        let mut bench = Bench::intel(2, quirks);
        bench.load(Workload::Training);
        bench.collect();
        assert_eq!(bench.children[0].reading(Metric::PowerAverage), Some(Reading::Absent(Absence::Late)));
        bench.run(4);
        let truth = bench.tree.node().boards[1];
        let child = bench.child(bench.keys()[1]);
        let info = child.batch.info(child.slot());
        assert_eq!((info.name.as_str(), info.vendor), ("intel1", Vendor::Intel));
        assert_eq!(info.model, "Intel Data Center GPU Max 1550");
        assert_eq!(info.key, info.attributes["pci"]);
        let power = child.value(Metric::PowerAverage);
        assert!((power / truth.power_w - 1.0).abs() < 0.5 && power > 100.0, "{power} of {}", truth.power_w);
        assert!((child.value(Metric::Energy) / truth.energy_j - 1.0).abs() < 0.01);
        assert!(child.value(Metric::Utilization) > 0.4);
        assert!((child.value(Metric::ClockSm) / truth.clock_hz - 1.0).abs() < 0.01);
        assert_eq!(child.value(Metric::ClockSmMax), 1.6e9);
        assert!((child.value(Metric::Temperature) - truth.temperature_c).abs() < 0.01);
        assert_eq!(child.value(Metric::PowerLimitMax), 600.0);
        assert_eq!(child.value(Metric::EventSwThermal), 0.0);
        assert!(child.reading(Metric::NumaNode).is_none(), "-1 is no node");
    }
}

#[test]
fn a_cap_on_an_intel_card_lowers_its_power_and_zero_is_never_written() {
    let mut bench = Bench::intel(1, &[]);
    bench.load(Workload::Training);
    bench.run(5);
    let key = bench.keys()[0].to_owned();
    let before = bench.children[0].value(Metric::PowerAverage);
    let mut actuator = bench.actuator();
    assert_eq!(actuator.apply(&order(&bench.children[0], 300.0)).unwrap(), 300.0);
    bench.run(5);
    let after = bench.children[0].value(Metric::PowerAverage);
    assert!(before > 480.0 && after < 310.0, "{before} W, then {after} W");
    assert_eq!(bench.children[0].value(Metric::EventSwPowerCap), 1.0);

    let wide = model::Range::new(Watts(1e-9), Watts(600.0), Watts(600.0)).unwrap();
    for nothing in [0.0, 1e-8, 20.0, 148.0] {
        let refused = actuator.apply(&order_in(&bench.children[0], nothing, wide)).unwrap_err();
        assert_eq!(refused.reason, Reason::Refused, "{nothing} W");
    }
    bench.run(1);
    assert_eq!(actuator.enforced(&key, Knob::PowerLimit).unwrap(), 300.0);
}

#[test]
fn an_intel_card_without_a_limit_says_that_it_is_disabled_and_is_held_by_its_rating() {
    let mut bench = Bench::intel(1, &[]);
    bench.load(Workload::Training);
    std::fs::write(bench.tree.monitor(0).join("power1_max"), "0\n").unwrap();
    bench.run(3);
    let child = &bench.children[0];
    assert_eq!(child.reading(Metric::PowerLimitEnforced), Some(Reading::Absent(Absence::Disabled)));
    assert_eq!(child.value(Metric::PowerLimitMax), 600.0);
    assert_eq!(bench.actuator().enforced(&child.arrival.key, Knob::PowerLimit).unwrap(), 600.0);
}

#[test]
fn what_throttles_an_intel_card_is_said() {
    // Boards differ, so one of several is sure to get too hot.
    let mut bench = Bench::intel(4, &[]);
    bench.load(Workload::Training);
    bench.tree.node().boards.iter_mut().for_each(|board| board.inject(Fault::Cooler));
    bench.run(120);
    let hot = |board: &sim::Board| board.reasons & reason::HW_THERMAL != 0;
    let said: Vec<bool> = (0..4).map(|n| bench.children[n].value(Metric::EventSwThermal) == 1.0).collect();
    let is: Vec<bool> = (0..4).map(|n| hot(&bench.tree.node().boards[n])).collect();
    assert!(is.contains(&true), "none is hot");
    assert_eq!(said, is);
}

#[test]
fn a_card_that_is_numbered_anew_keeps_its_identity_and_its_name() {
    let mut bench = Bench::amd(2, &[]);
    bench.run(1);
    let keys: Vec<String> = bench.keys().into_iter().map(str::to_owned).collect();
    bench.tree.unplug(0).unwrap();
    bench.now = bench.now.after(Duration::from_secs(1));
    bench.collect();
    assert_eq!(bench.child(&keys[0]).lost, Some(Reason::Lost));
    assert_eq!(bench.child(&keys[1]).lost, None);
    bench.tree.plug_as(0, 2).unwrap();
    bench.run(15);
    let back = bench.child(&keys[0]);
    assert_eq!(back.arrival.name, "amd/amd0");
    assert_eq!(back.batch.info(back.slot()).name, "amd0");
    assert!(back.reading(Metric::PowerInstant).is_some());
    assert_eq!(bench.children.len(), 2);
}

#[test]
fn a_card_that_keeps_failing_is_met_less_and_less_often() {
    let mut bench = Bench::amd(1, &[]);
    bench.run(1);
    let mut met = 1;
    for _ in 0..600 {
        bench.children.clear();
        bench.run(1);
        met += bench.children.len();
    }
    assert!((10..30).contains(&met), "met {met} times in ten minutes");
}

#[test]
fn of_two_cards_with_one_identity_the_first_keeps_it_and_the_second_is_told() {
    let mut bench = Bench::amd(2, &[]);
    let (uuid, pci) = (bench.tree.node().uuid(0), bench.tree.node().pci(1));
    bench.tree.claim(1, &uuid).unwrap();
    bench.run(1);
    assert_eq!(bench.keys(), [uuid.as_str(), &pci]);
    assert!(!bench.child(&uuid).noticed(NoticeKind::Duplicate));
    assert!(bench.child(&pci).noticed(NoticeKind::Duplicate));
    let refused = bench.actuator().enforced(&uuid, Knob::PowerLimit).unwrap_err();
    assert_eq!(refused.reason, Reason::Busy, "nobody turns a knob of which it is not known whose it is");
    assert!(bench.actuator().enforced(&pci, Knob::PowerLimit).is_ok());
    bench.run(30);
    assert_eq!(bench.keys(), [uuid.as_str(), &pci]);
}

#[test]
fn a_card_that_claims_another_ones_identity_later_is_lost_and_comes_back_under_its_address() {
    let mut bench = Bench::amd(2, &[]);
    bench.run(1);
    let (first, pci) = (bench.tree.node().uuid(1), bench.tree.node().pci(0));
    bench.tree.claim(0, &first).unwrap();
    bench.run(20);
    let mut keys = bench.keys();
    keys.sort_unstable();
    let mut expected = [first.as_str(), pci.as_str()];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let holder = bench.child(&first);
    let at = &holder.batch.info(holder.slot()).attributes["pci"];
    assert_eq!(*at, "0000:18:00.0", "who was read under the identity keeps it, though the other comes first");
}

#[test]
fn a_reopened_card_is_compared_with_what_it_was() {
    let mut bench = Bench::amd(1, &[]);
    bench.run(1);
    let child = &mut bench.children[0];
    child.batch.begin();
    child.arrival.collector.reopen(bench.now, &mut child.batch).unwrap();
    assert!(!child.noticed(NoticeKind::Changed));
    std::fs::write(bench.tree.device(0).join("vbios_version"), "113-M3000200-001\n").unwrap();
    let child = &mut bench.children[0];
    child.batch.begin();
    child.arrival.collector.reopen(bench.now, &mut child.batch).unwrap();
    assert!(child.noticed(NoticeKind::Changed));
    assert_eq!(child.batch.info(child.slot()).attributes["vbios"], "113-M3000200-001");
    bench.tree.unplug(0).unwrap();
    let child = &mut bench.children[0];
    let error = child.arrival.collector.reopen(bench.now, &mut child.batch).unwrap_err();
    assert_eq!(error.reason, Reason::Lost);
}

#[test]
fn calls_of_a_card_are_accounted_for_and_what_it_lacks_costs_none() {
    let mut bench = Bench::amd(1, &[]);
    std::fs::remove_file(bench.tree.monitor(0).join("power1_cap")).unwrap();
    bench.collect();
    bench.now = bench.now.after(Duration::from_secs(1));
    let calls = bench.children[0].arrival.calls.clone();
    let before = calls.made();
    bench.collect();
    let beat = calls.made() - before;
    assert!((5..30).contains(&beat), "{beat} calls a beat");
    assert!(bench.children[0].reading(Metric::PowerLimitEnforced).is_none(), "what it lacks is not set");
    assert_eq!(calls.present(), None);
}

#[test]
fn whatever_stands_in_the_files_nothing_implausible_is_read() {
    let long = "1".repeat(1 << 20);
    let texts: [&[u8]; 12] = [
        b"",
        b"\n",
        b"nan\n",
        b"inf",
        b"-1\n",
        b"1e300",
        b"99999999999999999999999\n",
        b"0x10",
        b"7 7",
        b"\xff\xfe\0",
        b"unknown",
        long.as_bytes(),
    ];
    for entry in [&collectors::amd::ENTRY, &collectors::intel::ENTRY] {
        for text in texts {
            let mut bench = Bench::new(entry, &[&MI300X, &MAX1550], &[]);
            bench.run(2);
            for card in 0..2 {
                let folder = bench.tree.device(card).to_owned();
                spoil(&folder, text);
            }
            for _ in 0..12 {
                bench.now = bench.now.after(Duration::from_secs(1));
                bench.collect();
                for child in bench.children.iter().filter(|child| child.lost.is_none()) {
                    check(child);
                }
            }
        }
    }
}

/// Every value lies in the range of its metric, and those that were spoilt are absent.
fn check(child: &Child) {
    for taken in child.batch.readings() {
        if let Reading::Value(value) = taken.reading {
            let row = taken.metric.row();
            assert!(value.is_finite() && value >= row.low && value <= row.high, "{}: {value}", taken.metric);
        }
    }
    let power =
        [Metric::PowerInstant, Metric::Energy].map(|metric| child.reading(metric).and_then(Reading::value));
    assert_eq!(power, [None, None]);
}

/// Writes a text into every file but those that say whose the card is.
fn spoil(folder: &Path, text: &[u8]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kept = ["vendor", "unique_id", "device", "name"].iter().any(|name| path.ends_with(name));
        if path.is_symlink() || kept {
            continue;
        }
        if path.is_dir() {
            spoil(&path, text);
        } else {
            std::fs::write(&path, text).unwrap();
        }
    }
}

#[test]
fn files_that_vanish_or_are_forbidden_are_absent_for_their_reason() {
    let mut bench = Bench::amd(1, &[]);
    bench.run(1);
    // A folder in the place of a file answers EISDIR, which is neither a value nor a permission.
    let file = bench.tree.device(0).join("gpu_busy_percent");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let mut again = Bench {
        bus: (bench.entry.open)(&options(bench.home.path())).unwrap().unwrap(),
        children: Vec::new(),
        ..bench
    };
    again.collect();
    assert_eq!(again.children[0].reading(Metric::Utilization), Some(Reading::Absent(Absence::Lost)));
    assert!(
        again.children[0].reading(Metric::PowerInstant).is_some(),
        "one file does not take the others with it"
    );
}

#[test]
fn the_reflex_reads_power_between_beats_and_nothing_else() {
    for (entry, profile) in [(&collectors::amd::ENTRY, &MI300X), (&collectors::intel::ENTRY, &MAX1550)] {
        let mut bench = Bench::new(entry, &[profile], &[]);
        bench.load(Workload::Training);
        bench.run(1);
        let key = bench.children[0].arrival.key.clone();
        let mut reflex = (entry.reflex.unwrap())(&options(bench.home.path()), &key).unwrap().unwrap();
        let mut batch = Batch::default();
        for _ in 0..20 {
            bench.now = bench.now.after(Duration::from_millis(100));
            bench.tree.step(bench.now.mono_ns).unwrap();
            batch.begin();
            reflex.collect(bench.now, &mut batch).unwrap();
            assert!(batch.readings().iter().all(|taken| taken.metric == Metric::PowerInstant));
        }
        let power = batch.readings()[0].reading.value().unwrap();
        let truth = bench.tree.node().boards[0].power_w;
        assert!((power / truth - 1.0).abs() < 0.2, "{power} of {truth}");
    }
}

/// Makes a driver's file of another kernel file that takes a number and keeps only a part of it, without an error.
fn deaf(file: &Path) {
    std::fs::remove_file(file).unwrap();
    std::os::unix::fs::symlink("/proc/self/coredump_filter", file).unwrap();
}

#[test]
fn what_a_cap_became_is_what_is_read_back_and_not_what_was_written() {
    let mut bench = Bench::amd(1, &[]);
    bench.run(1);
    let order = order(&bench.children[0], 400.0);
    deaf(&bench.tree.monitor(0).join("power1_cap"));
    assert_eq!(
        bench.actuator().apply(&order).unwrap(),
        0.0,
        "the filter keeps the lowest bits of 400,000,000"
    );

    let mut bench = Bench::intel(1, &[]);
    bench.run(1);
    let order = self::order(&bench.children[0], 400.0);
    deaf(&bench.tree.monitor(0).join("power1_max"));
    let error = bench.actuator().apply(&order).unwrap_err();
    assert_eq!(error.reason, Reason::Mismatch, "a limit that reads 0 is no limit");
}

#[test]
fn a_cap_that_the_driver_refuses_is_an_error() {
    let mut bench = Bench::amd(1, &[]);
    bench.run(1);
    let order = order(&bench.children[0], 400.0);
    let file = bench.tree.monitor(0).join("power1_cap");
    std::fs::remove_file(&file).unwrap();
    // A kernel file that takes numbers up to 1000 only.
    std::os::unix::fs::symlink("/proc/self/oom_score_adj", &file).unwrap();
    assert_eq!(bench.actuator().apply(&order).unwrap_err().reason, Reason::Io);
}

#[test]
fn a_processor_with_graphics_has_no_monitor_and_is_read_by_its_table() {
    let mut bench = Bench::amd(1, &[]);
    std::fs::remove_dir_all(bench.tree.device(0).join("hwmon")).unwrap();
    let metrics = fake_sysfs::Metrics::of(&bench.tree.node().boards[0], [0; 6]);
    let metrics =
        fake_sysfs::Metrics { heat_c: [48, 50, 0], power_w: 25, throttle: 1 << 36 | 1 << 5, ..metrics };
    std::fs::write(
        bench.tree.device(0).join("gpu_metrics"),
        fake_sysfs::table(fake_sysfs::Version::V2_4, &metrics),
    )
    .unwrap();
    bench.collect();
    let child = &bench.children[0];
    assert_eq!((child.value(Metric::Temperature), child.value(Metric::PowerAverage)), (48.0, 25.0));
    assert_eq!((child.value(Metric::EventSwPowerCap), child.value(Metric::EventSwThermal)), (1.0, 1.0));
    assert_eq!((child.value(Metric::EventHwThermal), child.value(Metric::EventHwSlowdown)), (0.0, 0.0));
    assert!(child.reading(Metric::PowerLimitEnforced).is_none());
    assert_eq!(
        bench.actuator().enforced(&child.arrival.key, Knob::PowerLimit).unwrap_err().reason,
        Reason::Unsupported
    );
}

#[test]
fn a_table_that_breaks_takes_only_its_own_readings_with_it() {
    let mut bench = Bench::amd(1, &[]);
    bench.run(1);
    assert!(bench.children[0].reading(Metric::Energy).unwrap().value().is_some());
    let file = bench.tree.device(0).join("gpu_metrics");
    let whole = std::fs::read(&file).unwrap();
    for broken in [&whole[..100], &[], &vec![0xa5; 1 << 20]] {
        std::fs::write(&file, broken).unwrap();
        bench.now = bench.now.after(Duration::from_secs(1));
        bench.collect();
        let child = &bench.children[0];
        assert_eq!(child.reading(Metric::Energy), Some(Reading::Absent(Absence::Implausible)));
        assert!(child.value(Metric::PowerInstant) > 0.0);
    }
    std::fs::write(&file, &whole).unwrap();
    bench.collect();
    assert!(bench.children[0].reading(Metric::Energy).unwrap().value().is_some());
}

/// An NPU in a tree of its own.
fn npu(home: &Path, busy_us: u64) {
    let folder = home.join("sys/devices/pci0000:00/0000:00:0b.0");
    let member = folder.join("accel/accel0");
    let driver = home.join("sys/bus/pci/drivers/intel_vpu");
    std::fs::create_dir_all(&member).unwrap();
    std::fs::create_dir_all(&driver).unwrap();
    std::fs::create_dir_all(home.join("sys/class/accel")).unwrap();
    for (name, text) in [
        ("vendor", "0x8086".to_owned()),
        ("device", "0x643e".to_owned()),
        ("npu_busy_time_us", busy_us.to_string()),
        ("npu_memory_utilization", (3_u64 << 30).to_string()),
        ("npu_current_frequency_mhz", "1400".to_owned()),
        ("npu_max_frequency_mhz", "1950".to_owned()),
    ] {
        std::fs::write(folder.join(name), text + "\n").unwrap();
    }
    for (to, at) in [
        (&folder, member.join("device")),
        (&driver, folder.join("driver")),
        (&member, home.join("sys/class/accel/accel0")),
    ] {
        if !at.is_symlink() {
            std::os::unix::fs::symlink(to, at).unwrap();
        }
    }
}

#[test]
fn an_npu_is_busy_for_the_time_that_its_counter_grew() {
    let home = tempfile::tempdir().unwrap();
    npu(home.path(), 5_000_000);
    let mut bus = collectors::intel::npu::open(&options(home.path())).unwrap().unwrap();
    let (mut batch, mut now) = (Batch::default(), Timestamp::default());
    bus.collect(now, &mut batch).unwrap();
    let arrival = bus.arrivals().pop().unwrap();
    assert_eq!((arrival.key.as_str(), arrival.name.as_str()), ("0000:00:0b.0", "intel-npu/npu0"));
    let mut child = Child { arrival, batch, lost: None };
    let mut beat = |busy_us, passed_ms| {
        npu(home.path(), busy_us);
        now = now.after(Duration::from_millis(passed_ms));
        child.batch.begin();
        child.arrival.collector.collect(now, &mut child.batch).unwrap();
        child.reading(Metric::Utilization).unwrap()
    };
    assert_eq!(beat(5_000_000, 0), Reading::Absent(Absence::Late));
    assert_eq!(beat(5_250_000, 1000), Reading::Value(0.25));
    assert_eq!(beat(9_000_000, 500), Reading::Value(1.0), "a long job is counted when it ends");
    assert_eq!(beat(100, 1000), Reading::Absent(Absence::Late), "the counter began anew");
    let info = Arc::clone(child.batch.info(child.slot()));
    assert_eq!((info.kind, info.vendor, info.name.as_str()), (DeviceKind::Npu, Vendor::Intel, "npu0"));
    assert_eq!(child.value(Metric::MemoryUsed), (3_u64 << 30) as f64);
    assert_eq!((child.value(Metric::ClockSm), child.value(Metric::ClockSmMax)), (1.4e9, 1.95e9));
}

/// A tree that follows the machine's clock, and an agent on it.
struct Live {
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<Tree>>,
}

impl Live {
    fn start(mut tree: Tree) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let clock = agent::clock::MachineClock;
            let begin = model::Clock::now(&clock);
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let now = model::Clock::now(&clock);
                tree.step(now.since(begin).as_nanos() as u64).unwrap();
                agent::clock::wait_until(now.mono_ns + 20_000_000);
            }
            tree
        });
        Self { stop, thread: Some(thread) }
    }

    fn stop(&mut self) -> Tree {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn agent_on(home: &Path, more: &[&str]) -> tests::Agent {
    let state = home.join("state");
    std::fs::create_dir_all(&state).unwrap();
    let sys = format!("collectors.sys={}", home.join("sys").display());
    let state = format!("state.directory={}", state.display());
    let mut arguments =
        vec!["--set", &sys, "--set", &state, "--set", "beat.interval=200ms", "--set", "power.rest=1000W"];
    arguments.extend(more);
    tests::Agent::start(&arguments, &[])
}

#[test]
fn a_budget_holds_amd_and_intel_cards_through_their_files_and_gives_limits_back() {
    let home = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(home.path(), Node::of(&[&MI300X, &MI300X, &MAX1550, &MAX1550], 7, 0)).unwrap();
    for board in 0..4 {
        tree.node().set_workload(board, Workload::Training);
    }
    let limits: Vec<_> = (0..4)
        .map(|card| tree.monitor(card).join(if card < 2 { "power1_cap" } else { "power1_max" }))
        .collect();
    let limits_w = || -> Vec<f64> {
        let watts = |file| {
            std::fs::read_to_string(file).unwrap_or_default().trim().parse::<f64>().ok().map(|uw| uw / 1e6)
        };
        limits.iter().filter_map(watts).collect()
    };
    let mut live = Live::start(tree);
    let mut agent = agent_on(home.path(), &["--set", "power.budget=2900W", "--set", "power.enforce=true"]);
    tests::eventually("every card is there", || {
        agent.get("/metrics").text().matches("wattkeeper_accelerator_up{").count() == 4
    });
    tests::eventually("limits of both makers are lowered", || {
        let limits_w = limits_w();
        limits_w.len() == 4
            && limits_w[..2].iter().any(|w| *w < 750.0)
            && limits_w[2..].iter().any(|w| *w < 600.0)
    });
    assert!(limits_w().iter().all(|limit| *limit >= 150.0), "{:?}", limits_w());
    tests::eventually("power is below the budget", || {
        agent.metric("wattkeeper_power_node_watts", &[]).is_some_and(|watts| watts < 2900.0)
    });
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(5)).code(), Some(0));
    live.stop();
    assert_eq!(limits_w(), [750.0, 750.0, 600.0, 600.0]);
}

#[test]
fn a_card_whose_file_hangs_is_named_with_the_file_and_holds_up_no_other() {
    let home = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(home.path(), Node::of(&[&MI300X, &MI300X], 7, 0)).unwrap();
    tree.node().set_workload(0, Workload::Training);
    tree.step(2_000_000_000).unwrap();
    let keys = [0, 1].map(|board| tree.node().uuid(board));
    let agent = agent_on(home.path(), &[]);
    let of = |name: &str, card: usize| agent.metric(name, &[&format!("device=\"{}\"", keys[card])]);
    let up = |card: usize| of("wattkeeper_accelerator_up", card) == Some(1.0);
    tests::eventually("both cards are there", || up(0) && up(1));
    // Whoever opens a pipe waits until somebody else does, as a reader of a sick card waits for its firmware.
    let file = home.path().join("sys/class/kfd/kfd/proc/4000/stats_20000/cu_occupancy");
    std::fs::remove_file(&file).unwrap();
    let name = std::ffi::CString::new(file.to_str().unwrap()).unwrap();
    // SAFETY: the name is a string that ends in a zero and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    tests::eventually("the call that hangs is named", || {
        agent.get("/state").text().contains("kfd cu_occupancy")
    });
    assert!(up(1) && !up(0));
    assert!(of("wattkeeper_accelerator_power_watts", 1).is_some());
    assert_eq!(of("wattkeeper_accelerator_power_watts", 0), None, "an old value is not shown");
    // Held open, the pipe lets go of who waits now and of who comes before it is removed.
    let pipe = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    drop(pipe);
    tests::eventually("the card is back", || up(0));
}

#[test]
fn a_host_without_cards_has_no_source() {
    let home = tempfile::tempdir().unwrap();
    for entry in [collectors::amd::ENTRY, collectors::intel::ENTRY, collectors::intel::npu::ENTRY] {
        assert!((entry.open)(&options(home.path())).unwrap().is_none(), "{}", entry.name);
    }
}
