//! The simulator as a rig: the stages' own traits over a shared node, with no vendor library between.
use crate::board::{Board, reason};
use crate::fault::Fault;
use crate::node::{CORES, MEMORY_BYTES, Node};
use model::error::Reason;
use model::source::SlotProcess;
use model::{
    ActuateError, Actuator, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, NoticeKind,
    Order, Slot, Timestamp, Vendor, Watts,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A node that several faces look at.
#[derive(Debug, Clone)]
pub struct SharedNode(Arc<Mutex<Node>>);

impl SharedNode {
    /// Shares a node.
    pub fn new(node: Node) -> Self {
        Self(Arc::new(Mutex::new(node)))
    }

    /// The node, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Node> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads boards and host, like the hardware sources together.
#[derive(Debug)]
pub struct SimCollector {
    node: SharedNode,
    boards: Vec<BoardSlot>,
    host: Option<Host>,
}

#[derive(Debug, Default, Clone)]
struct BoardSlot {
    slot: Option<Slot>,
    xids: u64,
    name: Option<Arc<str>>,
}

#[derive(Debug)]
struct Host {
    node: Slot,
    cores: Vec<Slot>,
    zones: Vec<Slot>,
}

impl SimCollector {
    /// A collector over the node.
    pub fn new(node: SharedNode) -> Self {
        let count = node.lock().boards().len();
        Self { node, boards: vec![BoardSlot::default(); count], host: None }
    }
}

fn info(node: &Node, index: usize) -> DeviceInfo {
    let profile = node.boards()[index].profile();
    DeviceInfo {
        name: format!("gpu{index}"),
        model: format!("{} (simulated)", profile.model),
        vendor: Vendor::Nvidia,
        attributes: BTreeMap::from([("pci".to_owned(), format!("00000000:{:02x}:00.0", 0x10 + 8 * index))]),
        ..DeviceInfo::new(DeviceKind::Gpu, node.uuid(index))
    }
}

impl Collector for SimCollector {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let mut node = self.node.lock();
        node.step_to(now.mono_ns);
        for (index, state) in self.boards.iter_mut().enumerate() {
            let board = &node.boards()[index];
            if board.has(Fault::Lost) {
                if let Some(slot) = state.slot.take() {
                    report_xids(slot, state, board, now, batch);
                    batch.gone(slot, now);
                }
                continue;
            }
            let slot = *state.slot.get_or_insert_with(|| batch.device(info(&node, index)));
            report_xids(slot, state, board, now, batch);
            read_board(slot, board, batch);
            report_process(slot, state, board, batch);
        }
        let host = self.host.get_or_insert_with(|| register_host(batch));
        read_host(host, &node, batch);
        Ok(())
    }
}

fn report_xids(slot: Slot, state: &mut BoardSlot, board: &Board, now: Timestamp, batch: &mut Batch) {
    let first = state.xids.max(board.xids.saturating_sub(16));
    for number in first..board.xids {
        batch.notice(slot, NoticeKind::Xid, board.xid_codes[(number % 16) as usize], now);
    }
    state.xids = board.xids;
}

fn report_process(slot: Slot, state: &mut BoardSlot, board: &Board, batch: &mut Batch) {
    let name = board.workload().process();
    if name.is_empty() {
        return;
    }
    if state.name.as_deref() != Some(name) {
        state.name = Some(Arc::from(name));
    }
    if let Some(name) = &state.name {
        let memory_bytes = Some(board.memory_used_bytes);
        batch.process(SlotProcess {
            name: Arc::clone(name),
            memory_bytes,
            ..SlotProcess::new(slot, 4000 + board.index)
        });
    }
}

fn read_board(slot: Slot, board: &Board, batch: &mut Batch) {
    let profile = board.profile();
    let events = [
        (Metric::EventIdle, reason::IDLE),
        (Metric::EventSwPowerCap, reason::SW_POWER_CAP),
        (Metric::EventHwSlowdown, reason::HW_SLOWDOWN),
        (Metric::EventHwThermal, reason::HW_THERMAL),
        (Metric::EventPowerBrake, reason::HW_POWER_BRAKE),
    ];
    for (metric, bit) in events {
        batch.flag(slot, metric, board.reasons & bit != 0);
    }
    // The engine has no application clocks, no boost groups, and lets the hardware alone act on heat.
    for metric in [Metric::EventAppClocks, Metric::EventSyncBoost, Metric::EventSwThermal] {
        batch.flag(slot, metric, false);
    }
    batch.flag(slot, Metric::Up, true);
    // Counts and sizes are far below 2^53, so the conversions are exact.
    let values = [
        (Metric::Utilization, board.busy),
        (Metric::EncoderUtilization, 0.0),
        (Metric::DecoderUtilization, 0.0),
        (Metric::MemoryActivity, board.memory_activity),
        (Metric::MemoryUsed, board.memory_used_bytes as f64),
        (Metric::MemorySize, profile.memory_bytes as f64),
        (Metric::PowerInstant, board.sensor.instant_w()),
        (Metric::PowerAverage, board.sensor.average_w()),
        (Metric::Energy, board.energy_j),
        (Metric::ClockSm, board.clock_hz),
        (Metric::ClockSmMax, profile.clock_max_hz),
        (Metric::ClockVideo, board.clock_hz),
        (Metric::ClockMemory, profile.memory_clock_hz),
        (Metric::ClockMemoryMax, profile.memory_clock_hz),
        (Metric::Temperature, board.temperature_c),
        (Metric::TemperatureMemory, board.memory_temperature_c()),
        (Metric::TemperatureSlowdown, profile.slowdown_c),
        (Metric::TemperatureShutdown, profile.shutdown_c),
        (Metric::TemperatureMemoryMax, profile.memory_max_c),
        (Metric::PowerLimitRequested, board.requested_w),
        (Metric::PowerLimitEnforced, board.enforced().0),
        (Metric::PowerLimitMin, profile.limit_min.0),
        (Metric::PowerLimitMax, profile.limit_max.0),
        (Metric::PowerLimitDefault, profile.limit_max.0),
        (Metric::EccCorrectedVolatile, board.ecc[0] as f64),
        (Metric::EccUncorrectedVolatile, board.ecc[1] as f64),
        (Metric::EccCorrectedAggregate, board.ecc[0] as f64),
        (Metric::EccUncorrectedAggregate, board.ecc[1] as f64),
        (Metric::PcieGeneration, f64::from(profile.pcie_generation)),
        (Metric::PcieGenerationMax, f64::from(profile.pcie_generation)),
        (Metric::PcieWidth, f64::from(board.pcie_lanes())),
        (Metric::PcieWidthMax, f64::from(profile.pcie_lanes)),
        (Metric::PcieReplays, board.replays as f64),
        (Metric::XidErrors, board.xids as f64),
        (Metric::Processes, f64::from(u8::from(!board.workload().process().is_empty()))),
        (Metric::PerformanceState, 0.0),
    ];
    for (metric, value) in values {
        batch.set(slot, metric, value);
    }
    if board.xids > 0 {
        batch.set(slot, Metric::XidLastCode, f64::from(board.xid_codes[((board.xids - 1) % 16) as usize]));
    }
}

fn register_host(batch: &mut Batch) -> Host {
    let core =
        |n: usize| DeviceInfo { name: format!("cpu{n}"), ..DeviceInfo::new(DeviceKind::Core, n.to_string()) };
    let zones = ["package-0", "package-1", "package-0/dram", "package-1/dram"];
    Host {
        node: batch.device(DeviceInfo::new(DeviceKind::Node, "simulated-node")),
        cores: (0..CORES).map(|n| batch.device(core(n))).collect(),
        zones: zones.iter().map(|name| batch.device(DeviceInfo::new(DeviceKind::Zone, *name))).collect(),
    }
}

fn read_host(host: &Host, node: &Node, batch: &mut Batch) {
    let load = node.busy * CORES as f64;
    let used = 0.08 + 0.25 * node.busy;
    let size = MEMORY_BYTES as f64;
    let values = [
        (Metric::Load1, load),
        (Metric::Uptime, node.quantum as f64 / 100.0),
        (Metric::NodeMemorySize, size),
        (Metric::NodeMemoryAvailable, size * (1.0 - used)),
        (Metric::PressureCpuSome10, (node.busy - 0.3).max(0.0)),
        (Metric::PressureMemorySome10, 0.0),
        (Metric::PressureIoSome10, 0.0),
    ];
    for (metric, value) in values {
        batch.set(host.node, metric, value);
    }
    for (slot, times) in host.cores.iter().zip(&node.core_s) {
        for (metric, seconds) in
            [Metric::CoreUser, Metric::CoreSystem, Metric::CoreIdle].into_iter().zip(times)
        {
            batch.set(*slot, metric, *seconds);
        }
    }
    for (slot, joules) in host.zones.iter().zip(node.package_j.iter().chain(&node.dram_j)) {
        batch.set(*slot, Metric::ZoneEnergy, *joules);
    }
}

/// Reads nothing but the boards' instantaneous power.
#[derive(Debug)]
pub struct SimReflex {
    node: SharedNode,
    slots: Vec<Option<Slot>>,
}

impl SimReflex {
    /// A reflex source over the node.
    pub fn new(node: SharedNode) -> Self {
        let count = node.lock().boards().len();
        Self { node, slots: vec![None; count] }
    }
}

impl Collector for SimReflex {
    fn name(&self) -> &'static str {
        "sim-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let mut node = self.node.lock();
        node.step_to(now.mono_ns);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let board = &node.boards()[index];
            if board.has(Fault::Lost) {
                if let Some(slot) = slot.take() {
                    batch.gone(slot, now);
                }
                continue;
            }
            let slot = *slot.get_or_insert_with(|| batch.device(info(&node, index)));
            batch.set(slot, Metric::PowerInstant, board.sensor.instant_w());
        }
        Ok(())
    }
}

/// Sets the boards' power limits.
#[derive(Debug)]
pub struct SimActuator {
    node: SharedNode,
}

impl SimActuator {
    /// An actuator over the node.
    pub fn new(node: SharedNode) -> Self {
        Self { node }
    }

    fn find(node: &Node, key: &str, operation: &str) -> Result<usize, ActuateError> {
        let found = (0..node.boards().len()).find(|&index| node.uuid(index) == key);
        let found = found.filter(|&index| !node.boards()[index].has(Fault::Lost));
        found.ok_or_else(|| ActuateError::new(format!("{operation} of {key}"), Reason::Lost))
    }
}

impl Actuator for SimActuator {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn enforced(&mut self, key: &str) -> Result<Watts, ActuateError> {
        let node = self.node.lock();
        Self::find(&node, key, "read the limit").map(|index| node.boards()[index].enforced())
    }

    fn apply(&mut self, order: &Order) -> Result<Watts, ActuateError> {
        let mut node = self.node.lock();
        let index = Self::find(&node, order.key(), "set the limit")?;
        let board = &mut node.boards[index];
        if !board.set_power_limit(order.limit()) {
            return Err(ActuateError::new(format!("set the limit of {}", order.key()), Reason::Refused));
        }
        Ok(board.enforced())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::H100;
    use model::Reading;
    use std::time::Duration;

    fn second(n: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(n))
    }

    #[test]
    fn a_lost_board_is_gone_and_comes_back_under_its_key_with_its_xid_told_once() {
        let node = SharedNode::new(Node::new(&H100, 8, 1, 0));
        let (mut source, mut batch) = (SimCollector::new(node.clone()), Batch::default());
        source.collect(second(1), &mut batch).unwrap();
        let gpus = |batch: &Batch| batch.devices().filter(|(_, info)| info.kind == DeviceKind::Gpu).count();
        assert_eq!(gpus(&batch), 8);
        node.lock().boards[3].xid(79);
        node.lock().boards[3].inject(Fault::Lost);
        batch.begin();
        source.collect(second(2), &mut batch).unwrap();
        assert_eq!(gpus(&batch), 7);
        let kinds: Vec<_> = batch.notices().iter().map(|n| (n.kind, n.code)).collect();
        assert_eq!(kinds, [(NoticeKind::Xid, 79), (NoticeKind::Gone, 0)]);
        node.lock().boards[3].heal(Fault::Lost);
        batch.begin();
        source.collect(second(3), &mut batch).unwrap();
        assert_eq!((gpus(&batch), batch.notices().len()), (8, 0));
    }

    #[test]
    fn a_board_says_all_that_the_catalogue_has_but_fan_and_unseen_xid() {
        let node = SharedNode::new(Node::new(&H100, 1, 1, 0));
        let (mut source, mut batch) = (SimCollector::new(node.clone()), Batch::default());
        let mut missing = |second_number| {
            batch.begin();
            source.collect(second(second_number), &mut batch).unwrap();
            let slot = batch.devices().find(|(_, info)| info.kind == DeviceKind::Gpu).unwrap().0;
            let all = model::catalogue::columns(DeviceKind::Gpu).iter().copied();
            let value = |metric| batch.reading(slot, metric).and_then(Reading::value);
            all.filter(|metric| value(*metric).is_none()).collect::<Vec<_>>()
        };
        assert_eq!(missing(1), [Metric::FanSpeed, Metric::XidLastCode]);
        node.lock().boards[0].xid(31);
        assert_eq!(missing(2), [Metric::FanSpeed]);
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
    fn an_order_acts_on_the_board_and_is_read_back() {
        let node = SharedNode::new(Node::new(&H100, 2, 1, 0));
        node.lock().boards[1].out_of_band_w = 300.0;
        let key: Arc<str> = node.lock().uuid(1).into();
        let (mut source, mut batch) = (SimCollector::new(node.clone()), Batch::default());
        source.collect(second(1), &mut batch).unwrap();
        let mut frame = model::Frame::default();
        frame.begin(second(1));
        frame.merge(&batch, &mut model::source::SourceMap::default(), false);
        let device = frame.devices.find(DeviceKind::Gpu, &key).unwrap();
        let range = model::Range::new(Watts(200.0), Watts(700.0), Watts(700.0)).unwrap();
        let order = Order::power_limit(device, key, Watts(350.0), range);
        let read_back = SimActuator::new(node.clone()).apply(&order).unwrap();
        assert_eq!(read_back, Watts(300.0), "the tighter out-of-band limit is what is enforced");
        assert_eq!(node.lock().boards[1].requested_w, 350.0);
        assert_eq!(frame.get(device, Metric::PowerLimitEnforced), Reading::Value(300.0));
    }
}
