//! Tests of the simulator's faces.
use super::*;
use crate::profile::H100;
use model::Reading;
use model::error::Reason;
use model::{Absence, Actuator as _, DeviceInfo, DeviceKind, Metric, NoticeKind, Order, Vendor, Watts};
use std::time::Duration;

fn second(n: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(n))
}

/// The boards of a node, met and read as a feed does it.
#[derive(Default)]
struct Bench {
    boards: Vec<(String, Box<dyn Collector>, Batch)>,
}

impl Bench {
    /// Reads every board; gives the notices, and ends those that are lost.
    fn read(&mut self, bus: &mut SimNode, now: Timestamp) -> Vec<(NoticeKind, u32)> {
        bus.collect(now, &mut Batch::default()).unwrap();
        let new =
            bus.arrivals().into_iter().map(|arrival| (arrival.key, arrival.collector, Batch::default()));
        self.boards.extend(new);
        let mut notices = Vec::new();
        self.boards.retain_mut(|(_, board, batch)| {
            batch.begin();
            let read = board.collect(now, batch);
            notices.extend(batch.notices().iter().map(|notice| (notice.kind, notice.code)));
            read.is_ok_and(|()| true) || board.collect(now, batch).is_err_and(|e| e.reason != Reason::Lost)
        });
        notices
    }
}

#[test]
fn a_lost_board_ends_and_is_met_again_under_its_key_with_its_xid_told_once() {
    let node = SharedNode::new(Node::new(&H100, 8, 1, 0));
    let (mut bus, mut bench) = (SimNode::new(node.clone()), Bench::default());
    bench.read(&mut bus, second(1));
    assert_eq!(bench.boards.len(), 8);
    node.lock().boards[3].xid(79);
    node.lock().boards[3].inject(Fault::Lost);
    assert_eq!(bench.read(&mut bus, second(2)), [(NoticeKind::Xid, 79)]);
    assert_eq!(bench.boards.len(), 7);
    node.lock().boards[3].heal(Fault::Lost);
    assert_eq!(bench.read(&mut bus, second(3)), []);
    assert_eq!(bench.boards.last().unwrap().0, node.lock().uuid(3));
}

#[test]
fn a_board_that_hangs_is_late_in_the_call_of_its_vendor_and_answers_again() {
    let node = SharedNode::new(Node::of(&[&H100, &crate::profile::MI300X], 1, 0));
    for (index, call) in ["nvmlDeviceGetFieldValues", "read gpu_metrics"].into_iter().enumerate() {
        let (mut board, calls) = SimBoard::new(node.clone(), index);
        let mut batch = Batch::default();
        node.lock().boards[index].inject(Fault::Hang);
        assert_eq!(board.collect(second(1), &mut batch).unwrap_err().reason, Reason::Late);
        assert_eq!(calls.present(), Some(call));
        node.lock().boards[index].heal(Fault::Hang);
        board.collect(second(2), &mut batch).unwrap();
        assert_eq!(calls.present(), None);
    }
}

/// The metrics of which a board gives a value.
fn said(node: &SharedNode, index: usize) -> Vec<Metric> {
    let (mut board, _) = SimBoard::new(node.clone(), index);
    let mut batch = Batch::default();
    board.collect(second(1), &mut batch).unwrap();
    let slot = batch.devices().next().unwrap().0;
    let kind = batch.info(slot).kind;
    let all = model::catalogue::columns(kind).iter().copied();
    all.filter(|metric| batch.reading(slot, *metric).and_then(Reading::value).is_some()).collect()
}

#[test]
fn each_vendor_has_its_gaps_and_none_says_less_than_power_heat_use_and_memory() {
    let profiles = crate::profile::PROFILES;
    let node = SharedNode::new(Node::of(&profiles, 1, 0));
    for (index, profile) in profiles.into_iter().enumerate() {
        let said = said(&node, index);
        for metric in [Metric::PowerInstant, Metric::Temperature, Metric::Utilization, Metric::MemoryUsed] {
            assert!(said.contains(&metric), "{} {metric}", profile.short);
        }
        let nvidia = profile.vendor == Vendor::Nvidia;
        for metric in [Metric::SmOccupancy, Metric::XidErrors, Metric::EncoderUtilization] {
            assert_eq!(said.contains(&metric), nvidia, "{} {metric}", profile.short);
        }
        let settable = profile.kind == DeviceKind::Gpu;
        assert_eq!(said.contains(&Metric::PowerLimitMax), settable, "{}", profile.short);
    }
}

#[test]
fn boards_have_the_names_and_numbers_of_their_own_driver() {
    use crate::profile::{ASCEND910B, GAUDI2, MI300X};
    let node = Node::of(&[&H100, &MI300X, &H100, &GAUDI2, &ASCEND910B, &MI300X], 1, 0);
    let names: Vec<_> = (0..6).map(|index| board::name(&node, index)).collect();
    assert_eq!(names, ["gpu0", "amd0", "gpu1", "gaudi0", "ascend0", "amd1"]);
}

#[test]
fn the_tenants_of_a_board_share_its_time_and_its_memory() {
    let node = SharedNode::new(Node::new(&H100, 1, 1, 0));
    node.lock().set_workload(0, crate::Workload::Serving);
    let (mut board, _) = SimBoard::new(node.clone(), 0);
    let mut batch = Batch::default();
    board.collect(second(2), &mut batch).unwrap();
    let used: f64 = batch.processes().iter().filter_map(|process| process.utilization).sum();
    assert!((used - node.lock().boards[0].busy).abs() < 1e-9);
    assert_eq!(batch.processes().len(), 2);
}

#[test]
fn the_reflex_reads_nothing_but_power_and_sees_a_loss() {
    let node = SharedNode::new(Node::new(&H100, 2, 1, 0));
    node.lock().set_workload(1, crate::Workload::Training);
    let (mut reflex, mut batch) = (SimReflex::new(node.clone()), Batch::default());
    reflex.collect(second(3), &mut batch).unwrap();
    assert!(batch.readings().iter().all(|reading| reading.metric == Metric::PowerInstant));
    let powers: Vec<_> = batch.readings().iter().filter_map(|reading| reading.reading.value()).collect();
    let sensors: Vec<_> = node.lock().boards().iter().map(|board| board.sensor.instant_w()).collect();
    assert_eq!(powers, sensors);
    node.lock().boards[1].inject(Fault::Lost);
    batch.begin();
    reflex.collect(second(4), &mut batch).unwrap();
    assert_eq!((batch.readings().len(), batch.devices().count()), (1, 1));
    let order = {
        let mut table = model::DeviceTable::default();
        let key: Arc<str> = node.lock().uuid(1).into();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, &*key))).unwrap();
        let range = model::Range::new(Watts(200.0), Watts(700.0), Watts(700.0)).unwrap();
        Order::power_limit(device, key, Watts(300.0), range)
    };
    let refused = SimActuator::new(node).apply(&order).unwrap_err();
    assert_eq!(refused.reason, Reason::Lost);
}

#[test]
fn what_hangs_has_no_power_for_the_reflex_and_takes_no_order_and_an_npu_never_does() {
    let node = SharedNode::new(Node::of(&[&H100, &crate::profile::GAUDI2], 1, 0));
    node.lock().boards[0].inject(Fault::Hang);
    let (mut reflex, mut batch) = (SimReflex::new(node.clone()), Batch::default());
    reflex.collect(second(1), &mut batch).unwrap();
    let readings: Vec<_> = batch.readings().iter().map(|reading| reading.reading).collect();
    assert_eq!(readings[0], Reading::Absent(Absence::Late));
    let range = model::Range::new(Watts(200.0), Watts(700.0), Watts(700.0)).unwrap();
    for (index, reason) in [Reason::Late, Reason::Unsupported].into_iter().enumerate() {
        let key: Arc<str> = node.lock().uuid(index).into();
        let mut table = model::DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, &*key))).unwrap();
        let order = Order::power_limit(device, key, Watts(300.0), range);
        assert_eq!(SimActuator::new(node.clone()).apply(&order).unwrap_err().reason, reason);
    }
}

#[test]
fn an_order_acts_on_the_board_and_is_read_back() {
    let node = SharedNode::new(Node::new(&H100, 2, 1, 0));
    node.lock().boards[1].out_of_band_w = 300.0;
    let key: Arc<str> = node.lock().uuid(1).into();
    let (mut source, _) = SimBoard::new(node.clone(), 1);
    let mut batch = Batch::default();
    source.collect(second(1), &mut batch).unwrap();
    let mut frame = model::Frame::default();
    frame.begin(second(1));
    frame.merge(&batch, &mut model::source::SourceMap::default(), false);
    let device = frame.devices.find(DeviceKind::Gpu, &key).unwrap();
    let range = model::Range::new(Watts(200.0), Watts(700.0), Watts(700.0)).unwrap();
    let order = Order::power_limit(device, key, Watts(350.0), range);
    let read_back = SimActuator::new(node.clone()).apply(&order).unwrap();
    assert_eq!(read_back, 300.0, "the tighter out-of-band limit is what is enforced");
    assert_eq!(node.lock().boards[1].requested_w, 350.0);
    assert_eq!(frame.get(device, Metric::PowerLimitEnforced), Reading::Value(300.0));
}

#[test]
fn a_locked_clock_acts_on_the_board_and_is_free_again_at_its_highest() {
    let node = SharedNode::new(Node::new(&H100, 1, 1, 0));
    node.lock().set_workload(0, crate::Workload::Decode);
    let key: Arc<str> = node.lock().uuid(0).into();
    let mut table = model::DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, &*key))).unwrap();
    let mut hands = SimActuator::new(node.clone());
    let span = hands.span(&key, model::Knob::ClockMax).unwrap();
    let order = |hertz| Order::new(device, Arc::clone(&key), (model::Knob::ClockMax, hertz), span);
    assert_eq!(hands.apply(&order(1e9)).unwrap(), 1e9);
    node.lock().step_to(2_000_000_000);
    let slow = node.lock().boards()[0].clock_hz;
    assert!((slow - 1e9).abs() < 2e7, "{slow}");
    assert_eq!(hands.apply(&order(9e9)).unwrap(), H100.clock_max_hz);
    node.lock().step_to(4_000_000_000);
    assert!(node.lock().boards()[0].clock_hz > 1.5e9);
    assert_eq!(hands.enforced(&key, model::Knob::CpuQuota).unwrap_err().reason, Reason::Unsupported);
}
