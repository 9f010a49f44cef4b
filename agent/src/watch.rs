//! The watch: detectors, the life cycle of what they find, the incidents it amounts to, and the thread that fits models.
use crate::energy::tuner::Tuner;
use crate::govern::Govern;
use crate::learnt::{Clerk, Shelf};
use detectors::interference::{self, Estimator, Frozen};
use detectors::{Correlator, Kin, Lifecycle, Phases, Thresholds};
use model::interference::Sharer;
use model::stages::{Detector, EventSink, Fit, Fitted, Policy as _};
use model::{Event, Frame, History, Incident, Interference, Standing, Timestamp};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Fits that wait or run at once, over all detectors; one more is asked for again on a later beat.
const FITS_MAX: usize = 16;

/// The place in the list of detectors of work that is for none of them.
const NOBODY: usize = usize::MAX;

/// Where fits run.
#[derive(Debug)]
enum Fitter {
    /// On the beat itself, so that a run repeats byte for byte.
    Inline,
    /// On the thread `wk-fit`.
    Thread { jobs: SyncSender<(usize, Fit)>, results: Receiver<(usize, Fitted)> },
}

/// Detectors and what they have found.
pub struct Watch {
    phases: Phases,
    /// `None` where it is switched off.
    estimator: Option<Estimator>,
    detectors: Vec<Box<dyn Detector>>,
    /// Whether a fit of each detector is under way.
    busy: Vec<bool>,
    sink: EventSink,
    lifecycle: Lifecycle,
    correlator: Correlator,
    shelf: Option<Shelf>,
    /// What of each detector that must not wait is written.
    pressed: Vec<u64>,
    clerk: Clerk,
    fitter: Fitter,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("detectors", &self.detectors.len()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Opens every built-in detector but the disabled ones.
    ///
    /// # Errors
    /// When `threaded` and the system has no thread to give.
    pub fn new(thresholds: &Thresholds, disabled: &[String], threaded: bool) -> std::io::Result<Self> {
        let on = |wanted: &str| !disabled.iter().any(|name| name == wanted);
        let enabled = detectors::BUILT_IN.iter().filter(|entry| on(entry.name));
        let detectors: Vec<_> = enabled.map(|entry| (entry.open)(thresholds)).collect();
        Ok(Self {
            phases: Phases::default(),
            estimator: on(interference::NAME).then(|| Estimator::new(None)),
            busy: vec![false; detectors.len()],
            pressed: vec![0; detectors.len()],
            detectors,
            sink: EventSink::default(),
            lifecycle: Lifecycle::new(thresholds),
            correlator: Correlator::default(),
            shelf: None,
            clerk: Clerk::default(),
            fitter: if threaded { spawn()? } else { Fitter::Inline },
        })
    }

    /// Judges what each accelerator is doing, and puts that into the frame for detectors and policy. Allocates nothing in the
    /// steady state.
    pub fn judge(&mut self, frame: &mut Frame) {
        self.phases.judge(frame);
    }

    /// Looks at one beat. Allocates nothing in the steady state.
    pub fn observe(&mut self, frame: &Frame, history: &History, kin: &Kin) {
        self.take_fits();
        self.sink.begin();
        for detector in &mut self.detectors {
            detector.observe(frame, history, &mut self.sink);
        }
        if let Some(estimator) = &mut self.estimator {
            estimator.observe(frame, history, &mut self.sink);
        }
        self.lifecycle.step(frame.at, &frame.devices, self.sink.findings());
        self.correlator.step(frame.at, &frame.devices, kin, &self.lifecycle);
    }

    /// Gives out fits that detectors ask for. Off the measured path of observe and decide: a fit's input is a copy.
    pub fn give_fits(&mut self, frame: &Frame, history: &History) {
        for (index, (detector, busy)) in self.detectors.iter_mut().zip(&mut self.busy).enumerate() {
            if *busy {
                continue;
            }
            let Some(fit) = detector.fit(frame, history) else { continue };
            match &self.fitter {
                Fitter::Inline => detector.fitted(fit()),
                Fitter::Thread { jobs, .. } => *busy = jobs.try_send((index, fit)).is_ok(),
            }
        }
    }

    /// Gives detectors what an earlier run had learnt, and keeps what they learn in a state directory from now on.
    pub fn keep_in(&mut self, directory: &std::path::Path, now: Timestamp, govern: &mut Govern) {
        let shelf = Shelf::new(directory, now);
        if self.clerk.hold(directory) {
            self.detectors.iter_mut().for_each(|detector| {
                shelf.recall(detector.name(), |bytes| detector.recall(bytes));
            });
            if let Some(estimator) = &mut self.estimator {
                shelf.recall(estimator.name(), |bytes| estimator.recall(bytes));
            }
            let policy = govern.policy_mut();
            shelf.recall(policy.name(), |bytes| policy.recall(bytes));
            shelf.recall(Tuner::name(), |bytes| govern.tuner_mut().recall(bytes));
        }
        self.shelf = Some(shelf);
    }

    /// Writes what was learnt when it is time, and what must not wait at once, off the beat's thread where there is another.
    pub fn keep_learnt(&mut self, frame: &Frame, govern: &Govern) {
        let Some(shelf) = &mut self.shelf else { return };
        let due = shelf.due(frame.at);
        let presses = |place: usize| self.detectors[place].pressing() != self.pressed[place];
        if !due && !(0..self.pressed.len()).any(presses) {
            return;
        }
        let directory = shelf.directory().to_owned();
        let limits = due.then(|| of_limits(shelf, frame, govern));
        let mut files = self.files(frame, |place| due || presses(place));
        files.extend(limits.into_iter().flatten());
        files.extend(self.profiles(frame).filter(|_| due));
        let clerk = self.clerk.clone();
        let work: Fit = Box::new(move || {
            clerk.write(&directory, &files);
            Box::new(())
        });
        let given = match &self.fitter {
            Fitter::Inline => {
                drop(work());
                true
            }
            // When the thread is busy, the next writing will do.
            Fitter::Thread { jobs, .. } => jobs.try_send((NOBODY, work)).is_ok(),
        };
        if given {
            let now = self.detectors.iter().map(|detector| detector.pressing());
            self.pressed.iter_mut().zip(now).for_each(|(written, now)| *written = now);
        }
    }

    /// Writes what was learnt now, before the end.
    pub fn finish(&mut self, frame: &Frame, govern: &Govern) {
        if let Some(shelf) = &self.shelf {
            let mut files = self.files(frame, |_| true);
            files.extend(of_limits(shelf, frame, govern));
            files.extend(self.profiles(frame));
            self.clerk.write(shelf.directory(), &files);
        }
    }

    /// The file of workloads' quiet profiles.
    fn profiles(&self, frame: &Frame) -> Option<(PathBuf, Vec<u8>)> {
        let (shelf, estimator) = (self.shelf.as_ref()?, self.estimator.as_ref()?);
        Some((shelf.path(estimator.name()), estimator.learnt(frame)?))
    }

    /// The files of the detectors at the chosen places.
    fn files(&self, frame: &Frame, chosen: impl Fn(usize) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
        let Some(shelf) = &self.shelf else { return Vec::new() };
        let chosen = self.detectors.iter().enumerate().filter(|(place, _)| chosen(*place));
        let kept = chosen.filter_map(|(_, detector)| Some((detector.name(), detector.learnt(frame)?)));
        kept.map(|(name, learnt)| (shelf.path(name), learnt)).collect()
    }

    fn take_fits(&mut self) {
        let Fitter::Thread { results, .. } = &self.fitter else { return };
        while let Ok((index, result)) = results.try_recv() {
            if let (Some(busy), Some(detector)) = (self.busy.get_mut(index), self.detectors.get_mut(index)) {
                *busy = false;
                detector.fitted(result);
            }
        }
    }

    /// Events that are active.
    pub fn active(&self) -> &[Event] {
        self.lifecycle.active()
    }

    /// The life cycle, for snapshots.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The incidents.
    pub fn correlator(&self) -> &Correlator {
        &self.correlator
    }

    /// Takes over incidents of earlier runs, oldest first.
    pub fn recall(&mut self, incidents: Vec<Incident>) {
        self.correlator.recall(incidents);
    }

    /// What each detector that learns can say of each device.
    pub fn standings(&self) -> Vec<Standing> {
        let mut list = Vec::new();
        self.detectors.iter().for_each(|detector| detector.standings(&mut list));
        list
    }

    /// Judges interference with this model from now on, unless that is switched off.
    pub fn judge_with(&mut self, frozen: Frozen) {
        if let Some(estimator) = &mut self.estimator {
            *estimator = Estimator::new(Some(frozen));
        }
    }

    /// How each workload does beside its neighbours.
    pub fn interference(&self, frame: &Frame) -> Vec<Interference> {
        let mut list = Vec::new();
        if let Some(estimator) = &self.estimator {
            estimator.list(frame, &mut list);
        }
        list
    }

    /// How each process on an accelerator does beside the others there.
    pub fn sharers(&self) -> Vec<Sharer> {
        self.estimator.as_ref().map_or_else(Vec::new, |estimator| estimator.sharers().to_vec())
    }

    /// Bytes of memory that detectors hold.
    pub fn bytes(&self) -> usize {
        self.detectors.iter().map(|detector| detector.bytes()).sum::<usize>()
            + self.phases.bytes()
            + self.estimator.as_ref().map_or(0, Detector::bytes)
    }
}

/// The files of what those who turn knobs have learnt.
fn of_limits(shelf: &Shelf, frame: &Frame, govern: &Govern) -> [(PathBuf, Vec<u8>); 2] {
    let (policy, tuner) = (govern.policy(), govern.tuner());
    [(shelf.path(policy.name()), policy.learnt()), (shelf.path(Tuner::name()), tuner.learnt(frame))]
}

fn spawn() -> std::io::Result<Fitter> {
    let (jobs, queue) = sync_channel::<(usize, Fit)>(FITS_MAX);
    let (done, results) = sync_channel(FITS_MAX);
    let work = move || {
        while let Ok((index, fit)) = queue.recv() {
            if done.send((index, fit())).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("wk-fit".into()).spawn(work)?;
    Ok(Fitter::Thread { jobs, results })
}

#[cfg(test)]
mod tests;
