//! The whole contract on one screen: four stages, what each is given, and what it gives back.
use crate::calls::Calls;
use crate::clock::Timestamp;
use crate::decision::{Mode, Outcome, Priority, Proposal};
use crate::device::DeviceId;
use crate::error::{ActuateError, CollectError, Reason};
use crate::event::{Event, Finding};
use crate::frame::Frame;
use crate::history::History;
use crate::knob::{Keep, Knob, Order, Span};
use crate::snapshot::{Cost, PowerState};
use crate::source::Batch;
use crate::standing::Standing;
use crate::units::{Cores, Hertz, Watts};
use serde::{Deserialize, Serialize};

/// Reads devices. One value a source; partial failure is data in the batch, whole failure is `Err`.
pub trait Collector: Send {
    /// The name, as in configuration, labels and logs.
    fn name(&self) -> &'static str;

    /// Fills the batch with what can be read now. `batch.begin()` has been called.
    ///
    /// # Errors
    /// When nothing at all could be read; the agent counts it, and reopens the source if the reason is `Lost`.
    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError>;

    /// Hands over the devices met since the last time that are to be read by a source of their own, so that a call for
    /// one cannot hold up another. Asked after each collection.
    fn arrivals(&mut self) -> Vec<Arrival> {
        Vec::new()
    }

    /// Makes sure, after a collection that came back past its deadline, that the devices are what they were: opens them
    /// again and compares. A `Changed` notice tells what is different.
    ///
    /// # Errors
    /// When that cannot be done; the source is then opened anew, as by default.
    fn reopen(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let _ = (now, batch);
        Err(CollectError::new("open the device again", Reason::Lost))
    }
}

/// A device that a source met and that is read by a source of its own, where the library allows it.
pub struct Arrival {
    /// The device's identity, unique on the node.
    pub key: String,
    /// A short name for the source: `nvml/gpu3`.
    pub name: String,
    /// Reads that device alone. An `Err` with [`Reason::Lost`] ends it; the source that met the device looks for it again.
    pub collector: Box<dyn Collector>,
    /// The account of its calls.
    pub calls: Calls,
}

/// Finds what is wrong: a deterministic function of what it has seen.
pub trait Detector: Send {
    /// The name, as in configuration, labels and events.
    fn name(&self) -> &'static str;

    /// Looks at one beat. Says every finding on every beat on which it holds. Allocates nothing in the steady state.
    fn observe(&mut self, frame: &Frame, history: &History, events: &mut EventSink);

    /// Bytes of memory it holds now.
    fn bytes(&self) -> usize;

    /// Adds what it can say of each device that it follows, for screens and metrics. Nothing by default: a rule always
    /// watches.
    fn standings(&self, list: &mut Vec<Standing>) {
        let _ = list;
    }

    /// What it has learnt, to be kept over a restart of the agent; `None` when there is nothing worth keeping. The bytes
    /// carry their own version; the agent adds a checksum. May allocate; asked off the beat's measured path.
    fn learnt(&self, frame: &Frame) -> Option<Vec<u8>> {
        let _ = frame;
        None
    }

    /// How many things it has learnt so far that must not wait for the next writing, such as what has to outlive a loss of power.
    fn pressing(&self) -> u64 {
        0
    }

    /// Takes back what an earlier run had learnt. Devices are met by their key once they are seen.
    ///
    /// # Errors
    /// When the bytes are of another version or make no sense, in words; it then learns anew.
    fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let _ = bytes;
        Ok(())
    }

    /// Work that is too slow for the beat, such as fitting a model, with all its input inside. The agent runs it
    /// elsewhere (at once in `sim` and `replay`), one a detector at a time, and hands the result to [`Detector::fitted`].
    /// Asked after each beat, outside the path that may not allocate.
    fn fit(&mut self, frame: &Frame, history: &History) -> Option<Fit> {
        let _ = (frame, history);
        None
    }

    /// Takes the result of the work that [`Detector::fit`] gave out.
    fn fitted(&mut self, result: Fitted) {
        drop(result);
    }
}

/// Work given out by a detector.
pub type Fit = Box<dyn FnOnce() -> Fitted + Send>;

/// The result of a [`Fit`]; only the detector that gave the work out knows its type.
pub type Fitted = Box<dyn std::any::Any + Send>;

/// Decides what should be done: a deterministic function of what it has seen.
pub trait Policy: Send {
    /// The name, as in configuration, labels and decisions.
    fn name(&self) -> &'static str;

    /// Looks at one beat and proposes. Allocates nothing in the steady state.
    fn decide(&mut self, view: &View<'_>, proposals: &mut ProposalSink);
}

/// Turns knobs. Orders are already inside the range and journalled.
pub trait Actuator: Send {
    /// The name, as in logs.
    fn name(&self) -> &'static str;

    /// The positions that a knob of the device with this key has here.
    ///
    /// The power limit's are in the frame (`Metric::PowerLimitMin` and its like) for every board, so that by default
    /// there are none to add.
    ///
    /// # Errors
    /// `Unsupported` when the device has no such knob, `Lost` when it is not this actuator's.
    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        Err(ActuateError::new(format!("turn {} of {key}", knob.as_str()), Reason::Unsupported))
    }

    /// The position of a knob that the device with this key enforces now, after every limiter, in the knob's unit.
    ///
    /// # Errors
    /// `Unsupported` when the device has no such knob; else when it cannot be read.
    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError>;

    /// The position that was asked of a knob, whatever other limiters make of it: what giving back must set. A limit that
    /// somebody holds down out of band for a while is not to be taken for it. The enforced one, where the device keeps no
    /// other.
    ///
    /// # Errors
    /// As for [`Actuator::enforced`].
    fn requested(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        self.enforced(key, knob)
    }

    /// A number that is another one where something else of the same name has taken the place of what had this key, as a container
    /// that was started again: what we knew of its knob is not true of it. `None` where names are not given twice.
    fn incarnation(&mut self, key: &str, knob: Knob) -> Option<u64> {
        let _ = (key, knob);
        None
    }

    /// Sets the knob and gives the enforced position read back afterwards, in the knob's unit. The caller compares.
    ///
    /// # Errors
    /// When the write or the reading back failed.
    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError>;
}

/// Where detectors put findings. Reused from beat to beat.
#[derive(Debug, Default)]
pub struct EventSink {
    findings: Vec<Finding>,
    dropped: u64,
}

impl EventSink {
    /// The most findings of one beat; further ones are dropped and counted.
    pub const FINDINGS_MAX: usize = 512;

    /// Forgets the last beat.
    pub fn begin(&mut self) {
        self.findings.clear();
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        if self.findings.len() < Self::FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.dropped += 1;
        }
    }

    /// The findings of this beat.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The findings of this beat so far, for a detector that knows better what is to be done about them.
    pub fn revise(&mut self) -> impl Iterator<Item = &mut Finding> {
        self.findings.iter_mut()
    }

    /// Findings dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A cap of ours that is in force on a device: of power, or in another knob's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cap<U = Watts> {
    /// On which device.
    pub device: DeviceId,
    /// The position that was set and read back.
    pub limit: U,
    /// The position before our first write.
    pub original: U,
    /// When it was set.
    pub since: Timestamp,
    /// What becomes of it when its keeper goes.
    pub keep: Keep,
}

/// Our caps that are in force, by knob.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Caps {
    /// Of power.
    pub power: Vec<Cap>,
    /// Of clocks.
    pub clocks: Vec<Cap<Hertz>>,
    /// Of processor time.
    pub quotas: Vec<Cap<Cores>>,
}

impl Caps {
    /// Takes over others, reusing this one's memory.
    pub fn copy_from(&mut self, others: &Self) {
        self.power.clone_from(&others.power);
        self.clocks.clone_from(&others.clocks);
        self.quotas.clone_from(&others.quotas);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.power.clear();
        self.clocks.clear();
        self.quotas.clear();
    }
}

/// What a device can be made to do beside its power limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Which device.
    pub device: DeviceId,
    /// The knob.
    pub knob: Knob,
    /// The positions it has.
    pub span: Span,
}

/// What a policy sees of one beat.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The beat.
    pub now: Timestamp,
    /// The readings.
    pub frame: &'a Frame,
    /// The past.
    pub history: &'a History,
    /// Events that are active.
    pub events: &'a [Event],
    /// Our caps that are in force.
    pub caps: &'a Caps,
    /// What devices can be made to do beside their power limit.
    pub reaches: &'a [Reach],
    /// Priority by [`DeviceId::index`]; a device beyond the end is `Normal`.
    pub priorities: &'a [Priority],
    /// What became of the decisions of the last beat.
    pub outcomes: &'a [Outcome],
    /// Whether decisions are carried out.
    pub mode: Mode,
}

impl View<'_> {
    /// The priority of a device.
    pub fn priority(&self, device: DeviceId) -> Priority {
        self.priorities.get(device.index()).copied().unwrap_or_default()
    }

    /// Our cap on a device's power.
    pub fn cap(&self, device: DeviceId) -> Option<&Cap> {
        self.caps.power.iter().find(|cap| cap.device == device)
    }

    /// Our cap on a device's clock.
    pub fn clock_cap(&self, device: DeviceId) -> Option<&Cap<Hertz>> {
        self.caps.clocks.iter().find(|cap| cap.device == device)
    }

    /// The positions of a knob of a device, if it can be turned.
    pub fn reach(&self, device: DeviceId, knob: Knob) -> Option<Span> {
        self.reaches.iter().find(|reach| reach.device == device && reach.knob == knob).map(|reach| reach.span)
    }
}

/// Where policies put proposals. Reused from beat to beat.
#[derive(Debug, Default)]
pub struct ProposalSink {
    /// What is proposed, in the order in which it should land: decreases before increases.
    pub proposals: Vec<Proposal>,
    /// The state of the power budget, from the policy that keeps it.
    pub power: Option<PowerState>,
    /// Memory of an earlier state's costs, for the next one.
    pub spare: (Vec<Cost>, Caps),
}

impl ProposalSink {
    /// Forgets the last beat.
    pub fn begin(&mut self) {
        self.proposals.clear();
        if let Some(power) = self.power.take() {
            self.recycle(power);
        }
    }

    /// Takes back a state that nobody needs any more, for its memory.
    pub fn recycle(&mut self, state: PowerState) {
        self.spare = (state.costs, state.caps);
    }
}
