//! The engine: runs beats on their schedule on the thread `wk-beat`, and takes commands between them.
use crate::beat::{Beat, Parts};
use crate::clock::{MachineClock, join_by, wait_until};
use crate::config::Config;
use crate::govern::{Govern, Keeping};
use crate::publish::Board;
use crate::record::Recorder;
use crate::rig::stepped::SteppedClock;
use crate::rig::{Assembly, Pace};
use crate::watch::Watch;
use detectors::Thresholds;
use model::{Clock, Timestamp};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The reflex tick, and the step of simulated time.
pub const TICK: Duration = Duration::from_millis(100);
/// Commands that wait for the end of a beat.
const COMMANDS_MAX: usize = 8;

/// What the engine can be told between beats.
#[derive(Debug)]
pub enum Command {
    /// Take over what may change while running.
    Reconfigure(Box<Config>),
    /// Restore what was capped and end.
    Stop,
}

/// Steers a stepped rig: called before each tick with the time since the start.
pub trait Director: Send {
    /// Changes the simulated world or the budget; `false` ends the run.
    fn direct(&mut self, elapsed: Duration, beat: &mut Beat) -> bool;
}

/// The rig cannot be set in motion.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation}")]
pub struct EngineError {
    operation: &'static str,
    #[source]
    source: std::io::Error,
}

impl EngineError {
    fn of(operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self { operation, source }
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// How a stepped rig's time relates to real time.
pub struct Script {
    /// How many times faster than real time; 0: as fast as it goes.
    pub speed: f64,
    /// Who steers.
    pub director: Box<dyn Director>,
}

impl Engine {
    /// Sets a rig in motion.
    ///
    /// # Errors
    /// When the recording's file cannot be opened or the system has no thread to give.
    pub fn start(
        config: &Config,
        assembly: Assembly,
        board: Arc<Board>,
        script: Option<Script>,
    ) -> Result<Self, EngineError> {
        let (commands, queue) = sync_channel(COMMANDS_MAX);
        let (clock, pace, interval) =
            (Arc::clone(&assembly.clock), assembly.pace.clone(), config.beat.interval);
        let energy = assembly.energy;
        let mut beat = build(config, assembly)?;
        if energy {
            beat.keep_energy_in(&config.state_directory, clock.now());
            beat.keep_incidents_in(&config.state_directory, clock.now());
        }
        let run = move || {
            let desk = Desk { interval, queue: &queue, board: &board };
            match pace {
                Pace::Machine => run_machine(beat, clock.as_ref(), &desk),
                Pace::Stepped(steps) => run_stepped(beat, &steps, &desk, script),
            }
        };
        let thread = std::thread::Builder::new().name("wk-beat".into()).spawn(run);
        Ok(Self { commands, thread: Some(thread.map_err(EngineError::of("start the beat's thread"))?) })
    }

    /// Tells the engine something; ignored when it has ended.
    pub fn tell(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::warn!("the beat takes no commands now");
        }
    }

    /// Whether the engine has ended.
    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the engine and waits until originals are restored, at most `patience`. Says whether it ended in time.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.tell(Command::Stop);
        let deadline = MachineClock.now().after(patience);
        self.thread.take().is_none_or(|thread| join_by(thread, deadline))
    }
}

/// What the loop has at hand: how often it beats, where commands come in, where snapshots go.
struct Desk<'a> {
    interval: Duration,
    queue: &'a Receiver<Command>,
    board: &'a Board,
}

/// Builds the beat of an assembled rig.
///
/// # Errors
/// When the recording's file cannot be opened or the system has no thread to give.
pub fn build(config: &Config, assembly: Assembly) -> Result<Beat, EngineError> {
    let threaded = matches!(assembly.pace, Pace::Machine);
    let thresholds = thresholds(config);
    let mut watch = Watch::new(&thresholds, &config.detectors_disabled, threaded)
        .map_err(EngineError::of("start the thread that fits models"))?;
    // A model that does not fit is no reason not to watch: every estimate is then an abstention that says so.
    match crate::interference::model(config) {
        Ok(frozen) => watch.judge_with(frozen),
        Err(error) => tracing::warn!("no interference is estimated (key interference.model): {error}"),
    }
    let keeping = Keeping::new(config, assembly.hands, threaded, assembly.clock.now())
        .map_err(EngineError::of("start the keeper's thread"))?;
    let recorder = config.record_path.as_deref().map(Recorder::open).transpose();
    let parts = Parts {
        feed: assembly.feed,
        watch,
        govern: Govern::new(&config.power, keeping),
        node: assembly.node,
        recorder: recorder.map_err(EngineError::of("open the recording (key record.path)"))?,
    };
    Ok(Beat::new(config, parts))
}

/// What detectors compare with, as the operator has it.
fn thresholds(config: &Config) -> Thresholds {
    let thresholds = Thresholds { budget_per_day: config.detectors_budget, ..Thresholds::default() };
    match &config.catalogue {
        // Built once a start and lives as long as the agent.
        Some(catalogue) => Thresholds { catalogue: Box::leak(Box::new((**catalogue).clone())), ..thresholds },
        None => thresholds,
    }
}

fn run_machine(mut beat: Beat, clock: &dyn Clock, desk: &Desk<'_>) {
    let Desk { interval, queue, board } = *desk;
    let mut due = clock.now();
    loop {
        beat.turn(due, clock, board);
        due = due.after(interval);
        let behind = clock.now().since(due);
        // Beats that can no longer be in time are skipped and counted, never run in a burst.
        let missed = (behind.as_nanos() / interval.as_nanos()) as u32;
        beat.missed(u64::from(missed));
        due = due.after(interval * missed);
        loop {
            match queue.recv_timeout(due.since(clock.now())) {
                Ok(Command::Reconfigure(config)) => beat.reconfigure(&config),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    return beat.govern().stop(clock.now());
                }
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
    }
}

fn run_stepped(mut beat: Beat, clock: &SteppedClock, desk: &Desk<'_>, mut script: Option<Script>) {
    let Desk { interval, queue, board } = *desk;
    let start = clock.now();
    let mut due = start;
    let speed = script.as_ref().map_or(1.0, |script| script.speed);
    let mut real = MachineClock.now();
    loop {
        let now = clock.now();
        let go_on = script.as_mut().is_none_or(|script| script.director.direct(now.since(start), &mut beat));
        if !go_on || !obey(&mut beat, queue) {
            return beat.govern().stop(now);
        }
        if now >= due {
            beat.turn(due, clock, board);
            due = due.after(interval);
        }
        beat.govern().tick(now);
        if speed > 0.0 {
            real = real.after(TICK.div_f64(speed));
            wait_until(real.mono_ns);
        }
        clock.advance(TICK);
    }
}

/// Carries out what was told; `false` when told to stop.
fn obey(beat: &mut Beat, queue: &Receiver<Command>) -> bool {
    while let Ok(command) = queue.try_recv() {
        match command {
            Command::Reconfigure(config) => beat.reconfigure(&config),
            Command::Stop => return false,
        }
    }
    true
}

/// The moment a stepped rig starts from: the machine's wall clock, or a fixed one where a run must repeat byte for byte.
pub fn beginning(repeatable: bool) -> Timestamp {
    // 2026-01-01T00:00:00Z.
    if repeatable { Timestamp { mono_ns: 0, wall_ms: 1_767_225_600_000 } } else { MachineClock.now() }
}
