//! The reflex's source and the actuator over a shared node.
use super::SharedNode;
use super::board::info;
use crate::fault::Fault;
use crate::node::Node;
use model::error::Reason;
use model::{
    Absence, ActuateError, Actuator, Batch, CollectError, Collector, DeviceKind, Knob, Metric, Order, Slot,
    Span, Timestamp, Vendor, Watts,
};

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
            if board.has(Fault::Hang) {
                batch.absent(slot, Metric::PowerInstant, Absence::Late);
                continue;
            }
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
        let index = found.ok_or_else(|| ActuateError::new(format!("{operation} of {key}"), Reason::Lost))?;
        if node.boards()[index].has(Fault::Hang) {
            return Err(ActuateError::new(format!("{operation} of {key}"), Reason::Late));
        }
        Ok(index)
    }

    /// Locks a board's clock, or frees it at its highest.
    fn lock(&mut self, order: &Order) -> Result<f64, ActuateError> {
        let span = self.span(order.key(), order.knob())?;
        let mut node = self.node.lock();
        let index = Self::find(&node, order.key(), "lock the clock")?;
        let free = order.value() >= span.max();
        node.boards[index].locked_hz = if free { 0.0 } else { span.clamp(order.value()) };
        Ok(if free { span.max() } else { node.boards[index].locked_hz })
    }
}

impl Actuator for SimActuator {
    fn name(&self) -> &'static str {
        "sim"
    }

    /// Clocks can be locked on NVIDIA's boards (`nvmlDeviceSetGpuLockedClocks`, Volta and newer).
    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        knob.only(Knob::ClockMax, key)?;
        let node = self.node.lock();
        let profile = node.boards()[Self::find(&node, key, "find the clocks")?].profile();
        let span = Span::new(profile.clock_min_hz, profile.clock_max_hz);
        let lockable = span.filter(|_| profile.vendor == Vendor::Nvidia);
        lockable.ok_or_else(|| ActuateError::new(format!("lock the clock of {key}"), Reason::Unsupported))
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        if knob == Knob::CpuQuota {
            return Err(ActuateError::new(format!("read a quota of {key}"), Reason::Unsupported));
        }
        let node = self.node.lock();
        let board = &node.boards()[Self::find(&node, key, "read the limit")?];
        match knob {
            Knob::PowerLimit => Ok(board.enforced().0),
            Knob::ClockMax if board.locked_hz > 0.0 => Ok(board.locked_hz),
            Knob::ClockMax | Knob::CpuQuota => Ok(board.profile().clock_max_hz),
        }
    }

    fn requested(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        if knob != Knob::PowerLimit {
            return self.enforced(key, knob);
        }
        let node = self.node.lock();
        Ok(node.boards()[Self::find(&node, key, "read the limit")?].requested_w)
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        if order.knob() != Knob::PowerLimit {
            return self.lock(order);
        }
        let mut node = self.node.lock();
        let index = Self::find(&node, order.key(), "set the limit")?;
        let board = &mut node.boards[index];
        let profile = board.profile();
        // Gaudi and Ascend have no proven way to set a limit.
        if profile.kind == DeviceKind::Npu || profile.vendor == Vendor::Huawei {
            let operation = format!("set the limit of {}", order.key());
            return Err(ActuateError::new(operation, Reason::Unsupported));
        }
        if !board.set_power_limit(Watts(order.value())) {
            return Err(ActuateError::new(format!("set the limit of {}", order.key()), Reason::Refused));
        }
        Ok(board.enforced().0)
    }
}
