//! Who works on a simulated board: processes and the pods they belong to, all made up.
use crate::board::Board;
use crate::load::Workload as Load;
use crate::tenant::Tenant;
use model::source::SlotProcess;
use model::{Batch, Slot, Workload, WorkloadKind};
use std::sync::Arc;

/// The process id of the first process of board 0.
pub const PID_FIRST: u32 = 4000;
/// The command name of the MPS server, as NVIDIA's documentation of MPS has it.
const MPS_SERVER: &str = "nvidia-cuda-mps-server";

/// The processes of one board, made when its work changes.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    load: Option<Load>,
    jobs: Vec<Job>,
}

#[derive(Debug)]
struct Job {
    pid: u32,
    name: Arc<str>,
    workload: Arc<Workload>,
    /// Share of the board's work and memory.
    share: f64,
}

impl Jobs {
    /// Puts the processes into the batch; gives how many there are.
    pub(super) fn read(&mut self, slot: Slot, board: &Board, batch: &mut Batch) -> usize {
        if board.seats.taken() {
            return seated(slot, board, batch);
        }
        let load = board.workload();
        if self.load != Some(load) {
            self.load = Some(load);
            self.jobs = jobs(load, board.index);
        }
        for job in &self.jobs {
            batch.process(SlotProcess {
                name: Arc::clone(&job.name),
                // A share of a size in bytes: the fraction of a byte is of no interest.
                memory_bytes: Some((board.memory_used_bytes as f64 * job.share) as u64),
                utilization: Some(board.busy * job.share),
                workload: Some(Arc::clone(&job.workload)),
                ..SlotProcess::new(slot, job.pid)
            });
        }
        self.jobs.len()
    }
}

/// The processes of tenants. Without MPS the driver gives each one's share of the time in whole percent; with it, the server is a process
/// of its own, and the shares are absent: that drivers give none then is an assumption.
fn seated(slot: Slot, board: &Board, batch: &mut Batch) -> usize {
    let mps = board.seats.mps();
    let tenants: Vec<_> =
        (0..).zip(&board.seats.seats).filter(|(_, seat)| seat.tenant() != Tenant::Nobody).collect();
    for (number, seat) in &tenants {
        let bytes = board.profile().memory_bytes as f64 * seat.tenant().need().resident;
        batch.process(SlotProcess {
            name: Arc::from(seat.tenant().as_str()),
            memory_bytes: Some(bytes as u64),
            utilization: (!mps).then_some((100.0 * seat.engine).round() / 100.0),
            ..SlotProcess::new(slot, PID_FIRST + 10 * board.index + number)
        });
    }
    if mps {
        let pid = PID_FIRST + 10 * board.index + 9;
        batch.process(SlotProcess { name: Arc::from(MPS_SERVER), ..SlotProcess::new(slot, pid) });
    }
    tenants.len() + usize::from(mps)
}

fn jobs(load: Load, board: u32) -> Vec<Job> {
    // Mixed inference is two tenants that share the board's time, two to one.
    let tenants: &[(&str, &str, f64)] = match load {
        Load::Idle => &[],
        Load::Training | Load::Loading => &[("research", "pretrain", 1.0)],
        Load::Prefill | Load::Decode => &[("serving", "chat", 1.0)],
        Load::Serving => &[("serving", "search", 2.0 / 3.0), ("batch", "embed", 1.0 / 3.0)],
    };
    let job = |(number, (namespace, app, share)): (u32, &(&str, &str, f64))| Job {
        pid: PID_FIRST + 10 * board + number,
        name: Arc::from(load.process()),
        workload: Arc::new(pod(namespace, app, board)),
        share: *share,
    };
    (0..).zip(tenants).map(job).collect()
}

fn pod(namespace: &str, app: &str, board: u32) -> Workload {
    let (pod, uid) = (format!("{app}-{board}"), format!("00000000-0000-4000-8000-{app:0>11}{board:x}"));
    Workload {
        name: pod.clone(),
        namespace: namespace.to_owned(),
        pod,
        container: "main".to_owned(),
        ..Workload { pod_uid: uid.clone(), ..Workload::new(WorkloadKind::Pod, format!("{uid}/main")) }
    }
}
