//! Tests of the feed: a bus of made-up devices that hang, are lost and come back, inline and on threads.
use super::*;
use crate::clock::MachineClock;
use crate::rig::stepped::SteppedClock;
use model::{Calls, CollectError, Collector, NoticeKind, Reading};
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// What the made-up driver knows.
#[derive(Default)]
struct Driver {
    /// Devices that the bus finds.
    there: BTreeSet<u32>,
    /// Devices that have a source of their own.
    met: BTreeSet<u32>,
    /// Devices whose calls do not return.
    hung: BTreeSet<u32>,
    lost: BTreeSet<u32>,
    /// Devices whose source fails as a whole and says so.
    failing: BTreeSet<u32>,
    gone: bool,
    /// Identities that differ from what they were.
    reopened: Vec<u32>,
}

#[derive(Default)]
struct Shared {
    driver: Mutex<Driver>,
    changed: Condvar,
    /// Whether a hang is a thread that waits; else it is told by an error, as the simulator does.
    blocks: bool,
}

type World = Arc<Shared>;

fn with<T>(world: &World, work: impl FnOnce(&mut Driver) -> T) -> T {
    let done = work(&mut world.driver.lock().unwrap_or_else(PoisonError::into_inner));
    world.changed.notify_all();
    done
}

struct Bus {
    world: World,
    found: Vec<u32>,
}

struct Unit {
    world: World,
    number: u32,
    slot: Option<Slot>,
    calls: Calls,
}

impl Drop for Unit {
    fn drop(&mut self) {
        with(&self.world, |driver| driver.met.remove(&self.number));
    }
}

impl Collector for Bus {
    fn name(&self) -> &'static str {
        "bus"
    }
    fn collect(&mut self, _: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        with(&self.world, |driver| {
            if driver.gone {
                return Err(CollectError::new("reach the driver", Reason::Lost));
            }
            let found = driver.there.iter().filter(|n| !driver.met.contains(*n) && !driver.lost.contains(*n));
            self.found = found.copied().collect();
            driver.met.extend(&self.found);
            Ok(())
        })
    }
    fn arrivals(&mut self) -> Vec<Arrival> {
        let world = &self.world;
        let arrive = |number: u32| {
            let calls = Calls::default();
            let unit = Unit { world: Arc::clone(world), number, slot: None, calls: calls.clone() };
            Arrival { key: key(number), name: format!("bus/{number}"), collector: Box::new(unit), calls }
        };
        self.found.drain(..).map(arrive).collect()
    }
}

impl Collector for Unit {
    fn name(&self) -> &'static str {
        "bus"
    }
    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let number = self.number;
        let slot =
            *self.slot.get_or_insert_with(|| batch.device(DeviceInfo::new(DeviceKind::Gpu, key(number))));
        self.calls.clone().during("readTemperature", || {
            let mut driver = self.world.driver.lock().unwrap_or_else(PoisonError::into_inner);
            while self.world.blocks && driver.hung.contains(&number) {
                driver = self.world.changed.wait(driver).unwrap_or_else(PoisonError::into_inner);
            }
            if driver.hung.contains(&number) {
                return Err(CollectError::new("read", Reason::Late));
            }
            if driver.failing.contains(&number) {
                return Err(CollectError::new("read", Reason::Denied));
            }
            if driver.lost.contains(&number) {
                return Err(CollectError::new("read", Reason::Lost));
            }
            batch.set(slot, Metric::Temperature, f64::from(number));
            Ok(())
        })
    }
    fn reopen(&mut self, _: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        with(&self.world, |driver| driver.reopened.push(self.number));
        Ok(())
    }
}

fn key(number: u32) -> String {
    format!("GPU-{number}")
}

fn world(devices: u32, blocks: bool) -> World {
    let driver = Driver { there: (0..devices).collect(), ..Driver::default() };
    Arc::new(Shared { driver: Mutex::new(driver), blocks, ..Shared::default() })
}

fn bus(world: &World) -> Box<dyn Collector> {
    Box::new(Bus { world: Arc::clone(world), found: Vec::new() })
}

fn second(n: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(n))
}

fn stepped(world: &World) -> (Feed, Frame) {
    let clock: Arc<dyn Clock> = Arc::new(SteppedClock::new(second(0)));
    let source = Opened::given(bus(world), Arc::clone(&clock));
    let places = vec![Place::Inline(Box::new(source))];
    (Feed::new(places, Duration::from_millis(500), clock), Frame::default())
}

fn threaded(world: &World) -> (Feed, Frame) {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let worker = Worker::spawn(Opened::given(bus(world), Arc::clone(&clock))).unwrap();
    // A patience that no test comes near, but where a call hangs.
    (Feed::new(vec![Place::Worker(worker)], Duration::from_millis(300), clock), Frame::default())
}

fn temperature(frame: &Frame, number: u32) -> Reading {
    let device = frame.devices.find(DeviceKind::Gpu, &key(number)).unwrap();
    frame.get(device, Metric::Temperature)
}

fn source_value(frame: &Frame, metric: Metric) -> Option<f64> {
    frame.value(frame.devices.find(DeviceKind::Source, "bus").unwrap(), metric)
}

#[test]
fn with_one_of_eight_devices_hung_for_an_hour_the_other_seven_miss_no_beat() {
    let world = world(8, false);
    let (mut feed, mut frame) = stepped(&world);
    feed.collect(second(1), &mut frame);
    with(&world, |driver| driver.hung.insert(3));
    for beat in 2..=3601 {
        feed.collect(second(beat), &mut frame);
        for number in 0..8 {
            let expected =
                if number == 3 { Reading::Absent(Absence::Late) } else { Reading::Value(f64::from(number)) };
            assert_eq!(temperature(&frame, number), expected, "device {number}, beat {beat}");
        }
        let late: Vec<_> = frame.late.iter().map(|late| late.since).collect();
        assert_eq!(late, [second(2)]);
    }
    let hung = frame.devices.find(DeviceKind::Gpu, &key(3)).unwrap();
    assert_eq!(frame.value(hung, Metric::CallLate), Some(3599.0));
    with(&world, |driver| driver.hung.clear());
    feed.collect(second(3602), &mut frame);
    assert_eq!(temperature(&frame, 3), Reading::Value(3.0));
    assert!(frame.late.is_empty() && frame.value(hung, Metric::CallLate) == Some(0.0));
}

#[test]
fn a_lost_device_is_gone_alone_and_back_under_its_handle_when_it_is_met_again() {
    let world = world(2, false);
    let (mut feed, mut frame) = stepped(&world);
    feed.collect(second(1), &mut frame);
    let lost = frame.devices.find(DeviceKind::Gpu, &key(1)).unwrap();
    with(&world, |driver| driver.lost.insert(1));
    feed.collect(second(2), &mut frame);
    assert!(frame.devices.get(lost).gone);
    assert_eq!(frame.notices.iter().map(|n| n.kind).collect::<Vec<_>>(), [NoticeKind::Gone]);
    assert_eq!(temperature(&frame, 0), Reading::Value(0.0));
    with(&world, |driver| driver.lost.clear());
    feed.collect(second(3), &mut frame);
    assert_eq!(frame.notices.iter().map(|n| n.kind).collect::<Vec<_>>(), [NoticeKind::Back]);
    assert_eq!(frame.value(lost, Metric::Temperature), Some(1.0));
}

#[test]
fn a_source_that_fails_as_a_whole_leaves_its_reason_and_not_the_word_that_there_is_nothing() {
    let world = world(2, false);
    let (mut feed, mut frame) = stepped(&world);
    feed.collect(second(1), &mut frame);
    with(&world, |driver| driver.failing.insert(1));
    feed.collect(second(2), &mut frame);
    assert_eq!(temperature(&frame, 1), Reading::Absent(Absence::Denied));
    assert_eq!(temperature(&frame, 0), Reading::Value(0.0));
    with(&world, |driver| driver.failing.clear());
    feed.collect(second(3), &mut frame);
    assert_eq!(temperature(&frame, 1), Reading::Value(1.0));
}

#[test]
fn the_devices_of_a_lost_driver_go_with_it_and_come_back_with_it() {
    static WORLD: Mutex<Option<World>> = Mutex::new(None);
    fn open(_: &collectors::Options) -> Result<Option<Box<dyn Collector>>, model::OpenError> {
        Ok(WORLD.lock().unwrap().as_ref().map(bus))
    }
    let world = world(3, false);
    *WORLD.lock().unwrap() = Some(Arc::clone(&world));
    let clock: Arc<dyn Clock> = Arc::new(SteppedClock::new(second(0)));
    let source = Opened::built_in("bus", open, &collectors::Options::default(), Arc::clone(&clock));
    let mut feed = Feed::new(vec![Place::Inline(Box::new(source))], Duration::ZERO, clock);
    let mut frame = Frame::default();
    feed.collect(second(1), &mut frame);
    assert_eq!(frame.devices.of_kind(DeviceKind::Gpu).count(), 3);
    with(&world, |driver| driver.gone = true);
    feed.collect(second(2), &mut frame);
    assert_eq!(frame.devices.of_kind(DeviceKind::Gpu).count(), 0);
    assert!(with(&world, |driver| driver.met.is_empty()), "every source of a device is dropped");
    with(&world, |driver| driver.gone = false);
    (3..6).for_each(|beat| feed.collect(second(beat), &mut frame));
    assert_eq!(frame.devices.of_kind(DeviceKind::Gpu).count(), 3);
    assert_eq!(source_value(&frame, Metric::SourceReopens), Some(1.0));
}

#[test]
fn driver_calls_are_counted_and_the_count_survives_a_device() {
    let world = world(3, false);
    let (mut feed, mut frame) = stepped(&world);
    feed.collect(second(1), &mut frame);
    feed.collect(second(2), &mut frame);
    assert_eq!(source_value(&frame, Metric::SourceCalls), Some(3.0));
    assert_eq!(source_value(&frame, Metric::SourceCallsAll), Some(6.0));
    with(&world, |driver| driver.lost.insert(1));
    feed.collect(second(3), &mut frame);
    feed.collect(second(4), &mut frame);
    assert_eq!(source_value(&frame, Metric::SourceCallsAll), Some(6.0 + 3.0 + 2.0));
}

#[test]
fn a_thread_that_hangs_holds_up_its_own_device_and_is_reopened_when_it_returns() {
    let world = world(4, true);
    let (mut feed, mut frame) = threaded(&world);
    let clock = MachineClock;
    // On a busy machine the threads may take longer to start than a beat waits.
    while frame.devices.of_kind(DeviceKind::Gpu).count() < 4 {
        feed.collect(clock.now(), &mut frame);
    }
    with(&world, |driver| driver.hung.insert(2));
    for beat in 0..3 {
        feed.collect(clock.now(), &mut frame);
        assert_eq!(temperature(&frame, 2), Reading::Absent(Absence::Late), "beat {beat}");
        for number in [0, 1, 3] {
            assert_eq!(temperature(&frame, number), Reading::Value(f64::from(number)), "beat {beat}");
        }
    }
    let late: Vec<_> = frame.late.iter().map(|late| late.call).collect();
    assert_eq!(late, ["readTemperature"]);
    let sick: Vec<_> = feed.health(clock.now()).into_iter().filter(|health| !health.up).collect();
    assert_eq!((sick.len(), sick[0].name.as_str()), (1, "bus/2"));
    assert!(
        sick[0].message.as_ref().unwrap().starts_with("driver call readTemperature has not returned for")
    );
    with(&world, |driver| driver.hung.clear());
    while temperature(&frame, 2) != Reading::Value(2.0) || with(&world, |driver| driver.reopened.is_empty()) {
        feed.collect(clock.now(), &mut frame);
    }
    assert_eq!(with(&world, |driver| driver.reopened.clone()), [2]);
}

#[test]
fn threads_do_not_pile_up_behind_a_driver_that_hangs() {
    let world = world(1, true);
    let (mut feed, mut frame) = threaded(&world);
    let clock = MachineClock;
    while frame.devices.of_kind(DeviceKind::Gpu).count() < 1 {
        feed.collect(clock.now(), &mut frame);
    }
    with(&world, |driver| driver.hung.insert(0));
    feed.collect(clock.now(), &mut frame);
    // The device is given up while its call has not returned, as when the library is reloaded.
    let child = feed.roots[0].children.remove(0);
    dismiss(child, clock.now(), &mut frame, &mut feed.stranded);
    assert_eq!(feed.stranded.len(), 1);
    with(&world, |driver| driver.met.clear());
    for _ in 0..3 {
        feed.collect(clock.now(), &mut frame);
        assert_eq!((feed.roots[0].children.len(), feed.stranded.len()), (0, 1));
    }
    with(&world, |driver| driver.hung.clear());
    while feed.roots[0].children.is_empty() {
        feed.collect(clock.now(), &mut frame);
    }
    assert_eq!(feed.stranded.len(), 0);
}
