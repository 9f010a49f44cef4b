//! One board as its vendor's source reads it: identity, readings, notices, and calls that hang.
use super::{SharedNode, face, work};
use crate::board::Board;
use crate::fault::Fault;
use crate::node::Node;
use model::error::Reason;
use model::{
    Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Metric, NoticeKind, Slot, Timestamp,
    Vendor,
};
use std::collections::BTreeMap;

/// Reads one board.
#[derive(Debug)]
pub struct SimBoard {
    node: SharedNode,
    index: usize,
    slot: Option<Slot>,
    calls: Calls,
    jobs: work::Jobs,
}

impl SimBoard {
    /// The source of the board at a position, and the account of its calls.
    pub fn new(node: SharedNode, index: usize) -> (Self, Calls) {
        let calls = Calls::default();
        let jobs = work::Jobs::default();
        (Self { node, index, slot: None, calls: calls.clone(), jobs }, calls)
    }

    fn tell_xids(&self, slot: Slot, board: &Board, now: Timestamp, batch: &mut Batch) {
        for number in self.node.untold(self.index, board.xids) {
            // Only NVIDIA's driver has XID errors.
            if board.profile().vendor == Vendor::Nvidia {
                let code = board.xid_codes[(number % 16) as usize];
                batch.notice(slot, NoticeKind::Xid, code, now);
            }
        }
    }
}

impl Drop for SimBoard {
    fn drop(&mut self) {
        self.node.met().remove(&self.index);
    }
}

/// A board's name for people: its driver's word and its number among the boards of that driver.
pub(super) fn name(node: &Node, index: usize) -> String {
    let profile = node.boards()[index].profile();
    let number = node.of_vendor(profile.vendor, profile.kind).take_while(|other| *other < index).count();
    let word = match (profile.vendor, profile.kind) {
        (Vendor::Amd, _) => "amd",
        (Vendor::Intel, DeviceKind::Npu) => "gaudi",
        (Vendor::Intel, _) => "intel",
        (Vendor::Huawei, _) => "ascend",
        _ => "gpu",
    };
    format!("{word}{number}")
}

/// Who a board is.
pub(super) fn info(node: &Node, index: usize) -> DeviceInfo {
    let profile = node.boards()[index].profile();
    let attributes = [("pci", node.pci(index)), ("driver", "simulated".to_owned())];
    DeviceInfo {
        name: name(node, index),
        model: format!("{} (simulated)", profile.model),
        vendor: profile.vendor,
        attributes: BTreeMap::from(attributes.map(|(name, value)| (name.to_owned(), value))),
        ..DeviceInfo::new(profile.kind, node.uuid(index))
    }
}

impl Collector for SimBoard {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let shared = self.node.clone();
        let mut node = shared.lock();
        node.step_to(now.mono_ns);
        let board = &node.boards()[self.index];
        let slot = *self.slot.get_or_insert_with(|| batch.device(info(&node, self.index)));
        let call = face::call(board);
        if board.has(Fault::Hang) {
            self.calls.pin(Some(call));
            return Err(CollectError::new(call, Reason::Late));
        }
        self.calls.pin(None);
        self.tell_xids(slot, board, now, batch);
        if board.has(Fault::Lost) {
            return Err(CollectError::new(format!("reach {}", node.uuid(self.index)), Reason::Lost));
        }
        shared.answer(board.call_s(node.seed, node.quantum));
        self.calls.during(call, || {
            face::read(board, |metric, value| batch.set(slot, metric, value));
            let processes = self.jobs.read(slot, board, batch);
            // A handful.
            batch.set(slot, Metric::Processes, processes as f64);
        });
        Ok(())
    }

    fn reopen(&mut self, _: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        if self.node.lock().boards()[self.index].has(Fault::Hang) {
            return Err(CollectError::new("open the board again", Reason::Late));
        }
        // A simulated board is always what it was.
        Ok(())
    }
}
