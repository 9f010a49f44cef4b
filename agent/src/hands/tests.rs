//! Tests of hands: one device whose driver hangs holds up nobody else, has one thread, and what it comes to is taken.
use super::*;
use model::{ActuateError, CollectError, DeviceInfo, DeviceKind, DeviceTable, OpenError, Range};
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Longer than a loaded machine needs to wake a thread.
const PROMPT: Duration = Duration::from_secs(2);
/// Long enough for a thread to begin, for a call that then hangs.
const BRIEF: Duration = Duration::from_millis(500);
/// A test that waits this long does not end.
const FOREVER: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
struct World {
    /// Devices and operations that hang: `GPU-a`, or `GPU-a write`.
    hung: BTreeSet<String>,
    /// The same of calls that have begun to hang.
    inside: BTreeSet<String>,
    limits: BTreeMap<String, f64>,
    writes: Vec<(String, f64)>,
    /// Devices whose thread was started, one entry each time.
    opened: Vec<String>,
}

/// A driver that hangs on demand.
#[derive(Debug, Clone, Default)]
struct Driver(Arc<(Mutex<World>, Condvar)>);

impl Driver {
    fn of(keys: &[&str]) -> Self {
        let driver = Self::default();
        driver.world().limits = keys.iter().map(|key| ((*key).to_owned(), 700.0)).collect();
        driver
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.0.lock().unwrap_or_else(|dead| dead.into_inner())
    }

    fn hang(&self, what: &str) {
        self.world().hung.insert(what.to_owned());
    }

    fn free(&self) {
        self.world().hung.clear();
        self.0.1.notify_all();
    }

    /// Makes a call, which waits while it hangs.
    fn call(&self, key: &str, operation: &str) {
        let names = [key.to_owned(), format!("{key} {operation}"), format!("any {operation}")];
        let mut world = self.world();
        while names.iter().any(|name| world.hung.contains(name)) {
            world.inside.insert(key.to_owned());
            self.0.1.notify_all();
            world = self.0.1.wait(world).unwrap();
        }
        world.inside.remove(key);
    }

    fn open(&self) -> Open {
        let driver = self.clone();
        Arc::new(move |key: &str, _: &model::Calls| {
            driver.world().opened.push(key.to_owned());
            driver.call(key, "open");
            let grip = Grip {
                actuator: Box::new(driver.clone()),
                fast: Some(Box::new(Meter(driver.clone(), key.into()))),
            };
            Ok(Some(grip))
        })
    }

    fn hands(&self) -> Hands {
        let mut hands = Hands::default();
        hands.apart.add("fake", self.open());
        hands.apart.patience = Patience { feel: PROMPT, call: PROMPT, open: PROMPT };
        hands
    }
}

impl Actuator for Driver {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn enforced(&mut self, key: &str, _: Knob) -> Result<f64, ActuateError> {
        self.call(key, "read");
        assert!(!key.ends_with("cursed"), "the driver's library has lost its mind");
        let lost = || ActuateError::new("find", Reason::Lost);
        self.world().limits.get(key).copied().ok_or_else(lost)
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        self.call(order.key(), "write");
        let mut world = self.world();
        world.limits.insert(order.key().to_owned(), order.value());
        world.writes.push((order.key().to_owned(), order.value()));
        Ok(order.value())
    }
}

struct Meter(Driver, String);

impl Collector for Meter {
    fn name(&self) -> &'static str {
        "fake-fast"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        self.0.call(&self.1, "feel");
        if !self.0.world().limits.contains_key(&self.1) {
            return Err(CollectError::new("find it", Reason::Lost));
        }
        let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, self.1.as_str()));
        batch.set(slot, Metric::PowerInstant, 400.0);
        Ok(())
    }
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs_f64(seconds))
}

fn order(key: &str, watts: f64) -> Order {
    let mut table = DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key))).unwrap();
    let range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0)).unwrap();
    Order::power_limit(device, key.into(), Watts(watts), range)
}

fn look(hands: &mut Hands, keys: &[&str], seconds: f64) -> Vec<Result<f64, Reason>> {
    let asks: Vec<Ask> = keys.iter().map(|key| Ask::enforced(key, Knob::PowerLimit)).collect();
    hands
        .look(&asks, at(seconds))
        .into_iter()
        .map(|answer| answer.map(|position| position.enforced))
        .collect()
}

fn feel(hands: &mut Hands, keys: &[&str], seconds: f64) -> Vec<usize> {
    let keys: Vec<Arc<str>> = keys.iter().map(|key| Arc::from(*key)).collect();
    let mut felt = Vec::new();
    hands.feel(&keys.iter().collect::<Vec<_>>(), at(seconds), |place, _| felt.push(place));
    felt
}

/// Waits until late calls have returned, and gives what they came to.
fn returned(hands: &mut Hands) -> Vec<Returned> {
    let mut all = Vec::new();
    while hands.any_late() {
        all.append(&mut hands.returned());
        std::thread::yield_now();
    }
    all
}

/// Has a call be late that never returns by itself.
fn be_late(hands: &mut Hands, key: &str, seconds: f64) {
    let patience = std::mem::replace(&mut hands.apart.patience.call, BRIEF);
    assert_eq!(look(hands, &[key], seconds), [Err(Reason::Late)]);
    hands.apart.patience.call = patience;
}

const THREE: [&str; 3] = ["GPU-a", "GPU-b", "GPU-c"];

#[test]
fn a_device_that_hangs_is_waited_for_once_and_the_others_answer() {
    let driver = Driver::of(&THREE);
    let mut hands = driver.hands();
    assert_eq!(look(&mut hands, &THREE, 1.0), [Ok(700.0); 3]);
    driver.hang("GPU-b");
    be_late(&mut hands, "GPU-b", 2.0);
    assert!(hands.is_late("GPU-b") && !hands.is_late("GPU-a") && hands.is_hung(at(2.0)));
    hands.apart.patience = Patience { feel: FOREVER, call: FOREVER, open: FOREVER };
    for beat in 0..50 {
        let now = 3.0 + f64::from(beat);
        assert_eq!(look(&mut hands, &THREE, now), [Ok(700.0), Err(Reason::Late), Ok(700.0)]);
        let orders = [order("GPU-a", 300.0), order("GPU-b", 300.0)];
        assert_eq!(hands.write(&orders.each_ref(), at(now)), [Ok(300.0), Err(Reason::Late)]);
        driver.world().limits.insert("GPU-a".into(), 700.0);
        assert_eq!(feel(&mut hands, &THREE, now), [0, 2]);
    }
    assert_eq!(driver.world().opened.len(), 3, "a device that hangs has no second thread");
    driver.free();
    assert!(returned(&mut hands).iter().all(|back| &*back.key == "GPU-b" && back.written.is_none()));
    assert_eq!(look(&mut hands, &THREE, 60.0), [Ok(700.0); 3]);
    assert_eq!(
        driver.world().writes.iter().filter(|(key, _)| key == "GPU-b").count(),
        0,
        "no stale order is left"
    );
}

#[test]
fn a_write_that_hangs_holds_up_no_other_and_what_it_came_to_is_told_once() {
    let driver = Driver::of(&THREE);
    let mut hands = driver.hands();
    look(&mut hands, &THREE, 1.0);
    driver.hang("GPU-a write");
    hands.apart.patience.call = BRIEF;
    let orders = THREE.map(|key| order(key, 300.0));
    let answers = hands.write(&orders.each_ref(), at(2.0));
    assert_eq!(answers[0], Err(Reason::Late));
    let others = driver.world().writes.iter().filter(|(key, _)| key != "GPU-a").count();
    assert_eq!(others, 2, "they do not wait for one that comes before them");
    assert!(hands.is_writing("GPU-a", Knob::PowerLimit) && !hands.is_writing("GPU-a", Knob::ClockMax));
    hands.apart.patience.call = FOREVER;
    let newer = order("GPU-a", 250.0);
    assert_eq!(hands.write(&[&newer], at(3.0)), [Err(Reason::Late)]);
    driver.free();
    let back = returned(&mut hands);
    let told: Vec<_> = back.iter().filter_map(|back| back.written.as_ref()).collect();
    assert_eq!(told, [&(orders[0].clone(), Ok(300.0))]);
    assert!(hands.returned().is_empty());
    assert_eq!(
        look(&mut hands, &["GPU-a"], 4.0),
        [Ok(300.0)],
        "the newer order was dropped, not kept for later"
    );
}

#[test]
fn an_order_that_the_driver_has_not_begun_with_is_taken_back() {
    let driver = Driver::of(&THREE);
    driver.hang("GPU-c open");
    let mut hands = driver.hands();
    look(&mut hands, &["GPU-a"], 1.0);
    hands.apart.patience.call = BRIEF;
    assert_eq!(hands.write(&[&order("GPU-c", 300.0)], at(2.0)), [Err(Reason::Late)]);
    assert!(!hands.is_writing("GPU-c", Knob::PowerLimit));
    driver.free();
    hands.apart.patience.call = PROMPT;
    assert!(returned(&mut hands).iter().all(|back| back.written.is_none()));
    assert_eq!(look(&mut hands, &["GPU-c"], 3.0), [Ok(700.0)]);
    assert!(driver.world().writes.is_empty());
}

#[test]
fn a_driver_that_does_not_open_holds_one_thread_and_another_vendors_devices_go_on() {
    let (hung, sound) = (Driver::of(&THREE), Driver::of(&["0000:03:00.0"]));
    hung.hang("any open");
    let mut hands = hung.hands();
    hands.apart.add("other", sound.open());
    let all = ["GPU-a", "GPU-b", "0000:03:00.0"];
    hands.apart.patience.call = BRIEF;
    look(&mut hands, &["GPU-a"], 0.5);
    hands.apart.patience.call = FOREVER;
    let late = Err(Reason::Late);
    for beat in 0..20 {
        let now = 1.0 + f64::from(beat);
        let answers = look(&mut hands, &all, now);
        assert_eq!(answers, [late, late, Ok(700.0)]);
    }
    assert_eq!(hung.world().opened, ["GPU-a"]);
    hung.free();
    returned(&mut hands);
    assert_eq!(look(&mut hands, &all, 30.0), [Ok(700.0); 3]);
}

#[test]
fn a_device_that_is_not_a_vendors_keeps_no_thread_and_is_asked_about_again_after_a_while() {
    let driver = Driver::of(&["GPU-a"]);
    let mut hands = driver.hands();
    for tick in 0..50 {
        assert_eq!(feel(&mut hands, &["GPU-a", "gaudi-0"], 1.0 + 0.1 * f64::from(tick)), [0]);
    }
    let asked = |driver: &Driver| driver.world().opened.iter().filter(|key| *key == "gaudi-0").count();
    assert_eq!(asked(&driver), 1);
    driver.world().limits.insert("gaudi-0".into(), 600.0);
    assert_eq!(feel(&mut hands, &["GPU-a", "gaudi-0"], 12.0), [0, 1]);
    assert_eq!(asked(&driver), 2);
}

#[test]
fn a_lost_device_is_looked_for_ever_more_seldom_by_the_reflex_and_at_once_by_an_order() {
    let driver = Driver::of(&["GPU-a"]);
    let mut hands = driver.hands();
    assert_eq!(feel(&mut hands, &["GPU-a"], 1.0), [0]);
    driver.world().limits.clear();
    for tick in 0..600 {
        assert!(feel(&mut hands, &["GPU-a"], 2.0 + 0.1 * f64::from(tick)).is_empty());
    }
    driver.world().limits.insert("GPU-a".into(), 700.0);
    assert_eq!(look(&mut hands, &["GPU-a"], 62.0), [Ok(700.0)]);
    assert!(feel(&mut hands, &["GPU-a"], 62.0).is_empty(), "the waits were 1, 2, 4, 8, 16 and 32 s");
    assert_eq!(feel(&mut hands, &["GPU-a"], 66.0), [0]);
    assert_eq!(driver.world().opened, ["GPU-a"]);
}

#[test]
fn a_thread_that_the_drivers_library_takes_down_is_a_lost_device_and_not_a_late_one() {
    let driver = Driver::of(&["GPU-a", "GPU-cursed"]);
    let mut hands = driver.hands();
    assert_eq!(look(&mut hands, &["GPU-cursed", "GPU-a"], 1.0), [Err(Reason::Lost), Ok(700.0)]);
    assert!(!hands.any_late());
}

#[test]
fn a_reading_that_came_too_late_counts_on_the_next_tick_and_not_later() {
    let driver = Driver::of(&["GPU-a"]);
    let mut hands = driver.hands();
    assert_eq!(feel(&mut hands, &["GPU-a"], 1.0), [0]);
    for (then, next, counts) in [(2.0, 2.1, true), (8.0, 15.0, false)] {
        driver.hang("GPU-a feel");
        let patience = std::mem::replace(&mut hands.apart.patience.feel, BRIEF);
        assert!(feel(&mut hands, &["GPU-a"], then).is_empty());
        assert!(hands.is_late("GPU-a") && !hands.is_hung(at(then)), "it may be but slow");
        driver.free();
        returned(&mut hands);
        hands.apart.patience.feel = patience;
        // A new reading would hang.
        driver.hang("GPU-a feel");
        hands.apart.patience.feel = BRIEF;
        assert_eq!(feel(&mut hands, &["GPU-a"], next).len(), usize::from(counts));
        driver.free();
        returned(&mut hands);
        hands.apart.patience.feel = PROMPT;
    }
}

#[test]
fn a_host_without_such_devices_has_no_threads_and_one_whose_driver_fails_is_tried_again() {
    let opened = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&opened);
    let driver = Driver::of(&["GPU-a"]);
    let good = driver.open();
    let open = move |key: &str, calls: &model::Calls| {
        let mut opened = log.lock().unwrap();
        opened.push(key.to_owned());
        match opened.len() {
            1 => Ok(None),
            2 => Err(OpenError::new("open", Reason::Denied)),
            _ => good(key, calls),
        }
    };
    let mut hands = Hands::default();
    hands.apart.add("fake", Arc::new(open));
    hands.apart.patience = Patience { feel: PROMPT, call: PROMPT, open: PROMPT };
    let asked = || opened.lock().unwrap().len();
    for second in 0..60 {
        assert_eq!(look(&mut hands, &["GPU-a"], f64::from(second)), [Err(Reason::Unsupported)]);
    }
    assert_eq!(asked(), 1, "what is not there is looked for once a minute");
    assert_eq!(look(&mut hands, &["GPU-a"], 60.0), [Err(Reason::Unsupported)]);
    assert_eq!((asked(), look(&mut hands, &["GPU-a"], 70.0)), (2, vec![Ok(700.0)]));
}

#[test]
fn knobs_of_one_device_are_turned_one_after_the_other_in_one_go() {
    let driver = Driver::of(&THREE);
    let mut hands = driver.hands();
    let asks: Vec<Ask> = THREE
        .iter()
        .flat_map(|key| [Ask::enforced(key, Knob::PowerLimit), Ask::enforced(key, Knob::ClockMax)])
        .collect();
    assert!(hands.look(&asks, at(1.0)).iter().all(Result::is_ok));
    assert_eq!(hands.enforced("docker/a", Knob::CpuQuota, at(1.0)), Err(Reason::Lost));
    assert_eq!(driver.world().opened.len(), 3, "a quota is no device's");
}
