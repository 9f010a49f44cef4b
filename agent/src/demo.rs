//! `wattkeeper demo`: a simulated node living through a scripted story, on the dashboard or as plain lines.
use crate::beat::Beat;
use crate::cli::{Common, Demo, DemoProfile, Scenario};
use crate::config::Config;
use crate::engine::{Director, Engine, Script};
use crate::publish::Board;
use crate::run::Failed;
use crate::serve::{ServeError, Server};
use dashboards::Feed;
use model::event::Phase;
use model::incident::Turn;
use model::snapshot::{PowerStage, Rig};
use model::{FaultKind, IncidentId, Severity, Snapshot, Watts};
use sim::rig::SharedNode;
use sim::story::{DAY, EIGHT_HANG, EIGHT_SQUEEZE, MIXED_DAY, MIXED_HANG, Player, Step, Story};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the engine may take to end.
const STOP_PATIENCE: Duration = Duration::from_millis(1500);

/// What the story has come to, for the dashboard's line and for plain lines.
#[derive(Debug, Default)]
struct Progress {
    caption: &'static str,
    elapsed_s: f64,
    captions: Vec<(f64, &'static str)>,
    rounds: u32,
}

type Shared = Arc<Mutex<Progress>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Progress> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays the story on the simulated node and sets the budgets it asks for.
struct Teller {
    node: SharedNode,
    story: &'static Story,
    player: Player,
    progress: Shared,
    begun: Duration,
    again: bool,
}

impl Director for Teller {
    fn direct(&mut self, elapsed: Duration, beat: &mut Beat) -> bool {
        let mut story_s = elapsed.saturating_sub(self.begun).as_secs_f64();
        if story_s >= self.story.length_s {
            if !self.again {
                return false;
            }
            (self.begun, self.player, story_s) = (elapsed, Player::new(self.story), 0.0);
            lock(&self.progress).rounds += 1;
        }
        let moments = self.player.play(story_s, &mut self.node.lock());
        let mut progress = lock(&self.progress);
        progress.elapsed_s = story_s;
        for (at, step, caption) in moments {
            if let Step::Budget(watts) = step {
                beat.govern().set_budget(Watts(*watts));
            }
            if !caption.is_empty() {
                progress.caption = caption;
                progress.captions.push((*at, caption));
            }
        }
        true
    }
}

/// Runs the demonstration: a minute or a little more, then a summary.
///
/// # Errors
/// When a chosen address is taken or the terminal fails.
pub fn demo(common: &Common, mut config: Config, flags: &Demo) -> Result<(), Failed> {
    let story = story(flags);
    if flags.scenario == Scenario::Squeeze && flags.profile == DemoProfile::Mixed {
        return Err("the scenario squeeze is told on eight H100s; leave --profile out".into());
    }
    configure(&mut config, flags.profile);
    let board = Arc::new(Board::new());
    let server = start_server(common, &config, &board)?;
    let assembly = crate::rig::idle(&config);
    let node = assembly.sim.clone().ok_or("the demo needs the simulator")?;
    let progress = Shared::default();
    let (player, begun) = (Player::new(story), Duration::ZERO);
    let teller = Teller { node, story, player, progress: Arc::clone(&progress), begun, again: flags.again };
    let script = Script { speed: flags.speed.clamp(1.0, 100.0), director: Box::new(teller) };
    let engine = Engine::start(&config, assembly, Arc::clone(&board), Some(script))?;
    let mut summary = Summary { squeeze_w: story.squeeze_w, ..Summary::default() };
    if !flags.plain && std::io::stdout().is_terminal() {
        let options = crate::top::options(flags.no_colour);
        dashboards::show(options, &mut || feed(&board, (&progress, story), &engine, &mut summary))?;
    } else {
        tell(&board, &progress, &engine, &mut summary, server.local_addr())?;
    }
    engine.stop(STOP_PATIENCE);
    server.shutdown();
    // The demo's own directory; where it cannot be removed the system's cleaning of temporary files does it.
    let _ = std::fs::remove_dir_all(&config.state_directory);
    summary.print(config.rig.sim_seed)
}

/// The story that the flags choose.
fn story(flags: &Demo) -> &'static Story {
    match (flags.profile, flags.scenario) {
        (DemoProfile::H100, Scenario::Day) => &DAY,
        (_, Scenario::Squeeze) => &EIGHT_SQUEEZE,
        (DemoProfile::H100, Scenario::Hang) => &EIGHT_HANG,
        (DemoProfile::Mixed, Scenario::Day) => &MIXED_DAY,
        (DemoProfile::Mixed, Scenario::Hang) => &MIXED_HANG,
    }
}

/// The demonstration's own settings: simulated devices may be capped, and its journal is a temporary one.
fn configure(config: &mut Config, profile: DemoProfile) {
    config.rig.kind = Rig::Sim;
    config.rig.sim_boards = 8;
    let (board, low) = match profile {
        DemoProfile::H100 => ("h100", "gpu7"),
        DemoProfile::Mixed => ("mixed", "amd3"),
    };
    config.rig.sim_board = board.to_owned();
    // The story sets the first budget before the first beat.
    config.power.budget_w = Some(9500.0);
    config.power.enforce = true;
    config.power.hold = Duration::from_secs(1);
    config.power.priority_high = (0..4).map(|n| format!("gpu{n}")).collect();
    config.power.priority_low = vec![low.to_owned()];
    let mut directory = std::env::temp_dir();
    directory.push(format!("wattkeeper-demo-{}", std::process::id()));
    config.state_directory = directory;
}

/// Serves at the configured address; where that was not chosen and is taken, at a free one.
fn start_server(common: &Common, config: &Config, board: &Arc<Board>) -> Result<Server, ServeError> {
    match Server::start(config.listen, None, Arc::clone(board)) {
        Err(ServeError::InUse { .. }) if !common.chose_listen() => {
            Server::start(SocketAddr::from((config.listen.ip(), 0)), None, Arc::clone(board))
        }
        started => started,
    }
}

fn feed(board: &Board, (progress, story): (&Shared, &Story), engine: &Engine, summary: &mut Summary) -> Feed {
    let snapshot = board.latest().map(|published| Arc::clone(published.snapshot()));
    if let Some(snapshot) = &snapshot {
        summary.take(snapshot);
    }
    let told = lock(progress);
    let note = format!("demo {:>2.0}/{:.0} s: {}", told.elapsed_s, story.length_s, told.caption);
    Feed { snapshot, note, ended: engine.ended() }
}

/// Tells the story as lines, for where there is no terminal.
fn tell(
    board: &Board,
    progress: &Shared,
    engine: &Engine,
    summary: &mut Summary,
    address: SocketAddr,
) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "wattkeeper demo: a simulated node, no real device is read or written; http://{address}/metrics"
    )?;
    let mut told = 0;
    loop {
        let ended = engine.ended();
        let (captions, elapsed_s) = {
            let progress = lock(progress);
            (progress.captions[told..].to_vec(), progress.elapsed_s)
        };
        told += captions.len();
        for (at, caption) in captions {
            writeln!(out, "{at:>5.1} s  story     {caption}")?;
        }
        if let Some(published) = board.latest() {
            for line in summary.take(published.snapshot()) {
                writeln!(out, "{elapsed_s:>5.1} s  {line}")?;
            }
        }
        if ended {
            return Ok(());
        }
        let next = model::Clock::now(&crate::clock::MachineClock).after(Duration::from_millis(20));
        crate::clock::wait_until(next.mono_ns);
    }
}

/// What happened, counted from snapshots.
#[derive(Debug, Default)]
struct Summary {
    beats: u64,
    phases: BTreeMap<u64, Phase>,
    /// What was told of each incident: its cause, how bad, whether it lasts.
    incidents: BTreeMap<IncidentId, (FaultKind, Severity, bool)>,
    decisions: u64,
    stage: PowerStage,
    peak_w: f64,
    over_s: f64,
    /// The budget of the story's squeeze, in watts.
    squeeze_w: Option<f64>,
    squeezed_w: Option<f64>,
    last: Option<Arc<Snapshot>>,
}

impl Summary {
    /// Takes a snapshot and gives the lines that it adds to the story.
    fn take(&mut self, snapshot: &Arc<Snapshot>) -> Vec<String> {
        if snapshot.vitals.beats <= self.beats {
            return Vec::new();
        }
        self.beats = snapshot.vitals.beats;
        let mut lines = self.events(snapshot);
        lines.extend(self.incidents(snapshot));
        lines.extend(self.power(snapshot));
        self.last = Some(Arc::clone(snapshot));
        lines
    }

    fn events(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        for event in snapshot.events.iter().rev() {
            let phase = if event.active() { Phase::Raised } else { Phase::Cleared };
            if self.phases.insert(event.id.0, phase) != Some(phase) {
                let name = &snapshot.frame.devices.get(event.device).info.name;
                lines.push(format!(
                    "{:<9} {} on {name} ({})",
                    phase.as_str(),
                    event.title(),
                    event.severity.as_str()
                ));
            }
        }
        lines
    }

    /// Tells an incident when it begins, when its cause or severity is another, and when it is over.
    fn incidents(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        for incident in snapshot.incidents.iter().rev() {
            let told = (incident.cause.fault, incident.severity, incident.active());
            if self.incidents.insert(incident.id, told) == Some(told) {
                continue;
            }
            let head = format!("incident  {}", incident.id.0);
            if !incident.active() {
                lines.push(format!("{head} cleared: {}", incident.title()));
                continue;
            }
            let severity = incident.severity.as_str();
            lines.push(format!("{head} {severity}: {}. {}", incident.title(), incident.cause.sentence));
            let seen: Vec<_> = incident
                .timeline
                .iter()
                .filter(|moment| matches!(moment.turn, Turn::Seen | Turn::Returned))
                .map(|moment| format!("{} on {}", moment.what, incident.name(moment.device)))
                .collect();
            lines.push(format!("          seen: {}", seen.join(", ")));
            lines.push(format!("          action: {} ({})", incident.advice, incident.remedy.as_str()));
        }
        lines
    }

    fn power(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(power) = &snapshot.power else { return lines };
        let total_w = (power.accelerators + power.rest).0;
        self.peak_w = self.peak_w.max(total_w);
        self.over_s = power.over_budget_seconds;
        if self.squeeze_w.is_some_and(|squeeze_w| power.budget.0 <= squeeze_w) {
            self.squeezed_w = Some(total_w);
        }
        if power.stage != self.stage {
            self.stage = power.stage;
            lines.push(format!(
                "power     {} at {total_w:.0} W of a budget of {:.0} W",
                power.stage.as_str(),
                power.budget.0
            ));
        }
        for settled in snapshot.decisions.iter().rev().filter(|settled| settled.decision.id > self.decisions)
        {
            let name = &snapshot.frame.devices.get(settled.decision.device).info.name;
            let (action, why) = (settled.decision.action, settled.decision.why.as_str());
            let limit =
                if let model::Action::Limit(limit) = action { format!(" {limit}") } else { String::new() };
            lines.push(format!("decision  {} {name}{limit}: {why}", action.as_str()));
        }
        // What the reflex took by itself has number 0.
        let newest = snapshot.decisions.iter().map(|settled| settled.decision.id).max();
        self.decisions = newest.unwrap_or(0).max(self.decisions);
        lines
    }

    fn print(&self, seed: u64) -> Result<(), Failed> {
        let mut out = std::io::stdout();
        let raised = self.phases.len();
        let cleared = self.phases.values().filter(|phase| **phase == Phase::Cleared).count();
        writeln!(out, "\nSummary of a simulated node (seed {seed}; nothing real was read or written)")?;
        writeln!(out, "  beats                {}", self.beats)?;
        writeln!(out, "  events               {raised} raised, {cleared} cleared")?;
        let lasting = self.incidents.values().filter(|(_, _, active)| *active).count();
        writeln!(out, "  incidents            {}, {lasting} still there", self.incidents.len())?;
        writeln!(out, "  peak node power      {:.0} W", self.peak_w)?;
        if let (Some(watts), Some(squeeze_w)) = (self.squeezed_w, self.squeeze_w) {
            writeln!(out, "  end of the squeeze   {watts:.0} W under a budget of {squeeze_w:.0} W")?;
        }
        writeln!(out, "  time over budget     {:.1} s", self.over_s)?;
        if let Some(last) = &self.last {
            let applied =
                last.counts.verdicts.iter().map(|(v, n)| format!("{n} {}", v.as_str())).collect::<Vec<_>>();
            writeln!(out, "  orders               {}", applied.join(", "))?;
        }
        Ok(())
    }
}
