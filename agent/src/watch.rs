//! The watch: detectors, the life cycle of what they find, the incidents it amounts to, and the thread that fits models.
use detectors::{Correlator, Kin, Lifecycle, Phases, Thresholds};
use model::stages::{Detector, EventSink, Fit, Fitted};
use model::{Event, Frame, History, Incident, Standing};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Fits that wait or run at once, over all detectors; one more is asked for again on a later beat.
const FITS_MAX: usize = 16;

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
    detectors: Vec<Box<dyn Detector>>,
    /// Whether a fit of each detector is under way.
    busy: Vec<bool>,
    sink: EventSink,
    lifecycle: Lifecycle,
    correlator: Correlator,
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
        let enabled =
            detectors::BUILT_IN.iter().filter(|entry| !disabled.iter().any(|name| name == entry.name));
        let detectors: Vec<_> = enabled.map(|entry| (entry.open)(thresholds)).collect();
        Ok(Self {
            phases: Phases::default(),
            busy: vec![false; detectors.len()],
            detectors,
            sink: EventSink::default(),
            lifecycle: Lifecycle::new(thresholds),
            correlator: Correlator::default(),
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

    fn take_fits(&mut self) {
        let Fitter::Thread { results, .. } = &self.fitter else { return };
        while let Ok((index, result)) = results.try_recv() {
            self.busy[index] = false;
            self.detectors[index].fitted(result);
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

    /// Bytes of memory that detectors hold.
    pub fn bytes(&self) -> usize {
        self.detectors.iter().map(|detector| detector.bytes()).sum::<usize>() + self.phases.bytes()
    }
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
