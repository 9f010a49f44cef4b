//! The nouns every stage of wattkeeper speaks: what a device is, what can be measured, and what passes between stages.
//!
//! # Glossary
//!
//! One word, one meaning, in code, configuration, metrics and documents:
//!
//! | word | meaning |
//! |---|---|
//! | beat | one turn of the loop: collect, append, observe, decide, guard, act, publish |
//! | reflex | the fast tick that may only tighten a cap |
//! | rig | where data come from: hardware, simulator or recording |
//! | source | one opened collector |
//! | arrival | a device that a source met and that is read by a source of its own |
//! | device | anything with an identity that is measured: a board, a core, a disk, a cgroup, the node |
//! | reading | one value of one metric of one device at one beat, or the [`Absence`] of it |
//! | frame | every reading of one beat |
//! | series | the bounded past of one metric of one device |
//! | finding | what a detector sees on one beat |
//! | remedy | what is to be done about a fault, in words other tools take |
//! | standing | what a detector can say of a device now: learning, watching, or masked and why |
//! | event | a finding with a life: raised, held, cleared |
//! | incident | events of one cause, told as one story |
//! | decision | what a policy wants done, and why |
//! | order | a decision the guard has let through: inside the device's own range |
//! | outcome | what became of an order: asked, ordered, set, read back |
//! | brake | the emergency cut to the floor when power passes the budget |
//! | partition | a part of an accelerator with engines and memory of its own, such as a MIG instance |
//! | workload | what processes belong to and power is accounted to: a pod's container, a Slurm job, a unit |
//! | share | what one workload has of one accelerator; the shares of an accelerator add up to it |
//! | holding | an accelerator given to a workload, whether or not it works there |
//! | work | what an accelerator is doing, judged from its counters: idle, load, training, prefill, decode, host-bound |
//! | interference | how much slower a workload is because of its neighbours, and at which shared resource |
//! | culprit | the neighbour whose activity explains the slowdown |
//! | signal | a number an autoscaler reads |
//! | snapshot | the immutable picture of one beat that every reader sees |
#![forbid(unsafe_code)]

pub mod calls;
pub mod catalogue;
pub mod clock;
pub mod decision;
pub mod device;
pub mod error;
pub mod event;
pub mod families;
pub mod frame;
mod heard;
pub mod history;
pub mod incident;
pub mod interference;
pub mod knob;
pub mod metric;
pub mod pci;
pub mod remedy;
pub mod series;
pub mod signal;
pub mod snapshot;
pub mod source;
pub mod stages;
pub mod standing;
pub mod units;
pub mod work;
pub mod workload;

pub use calls::Calls;
pub use catalogue::Metric;
pub use clock::{Clock, Timestamp};
pub use decision::{Action, Decision, Mode, Outcome, Priority, Proposal, Verdict, Why};
pub use device::{Device, DeviceId, DeviceInfo, DeviceKind, DeviceTable, Vendor};
pub use error::{ActuateError, CollectError, OpenError, Reason};
pub use event::{Event, EventId, Evidence, FaultKind, Finding, Phase, Severity};
pub use frame::{Absence, Frame, LateCall, Notice, NoticeKind, ProcessUse, Reading};
pub use history::History;
pub use incident::{Incident, IncidentId};
pub use interference::{Interference, Resource};
pub use knob::{Keep, Knob, Order, Range, Span};
pub use pci::PciAddress;
pub use remedy::Remedy;
pub use series::{Odometer, Series};
pub use signal::Signal;
pub use snapshot::Snapshot;
pub use source::{Batch, Slot};
pub use stages::{Actuator, Arrival, Collector, Detector, EventSink, Policy, ProposalSink, View};
pub use standing::{Mask, Stand, Standing};
pub use units::{Cores, Hertz, Unit, Watts};
pub use work::{Work, WorkState};
pub use workload::{Holding, Share, Workload, WorkloadKind};
