//! A fake actuator: boards with limits, an eye on the journal, and every kind of failure.
use crate::actuate::journal::Journal;
use crate::actuate::{Brief, Keeper, Known, Report, Terms};
use crate::hands::{Apart, Grip, Hands, Patience};
use model::{
    Action, ActuateError, Actuator, Batch, CollectError, Collector, Cores, Decision, DeviceId, DeviceInfo,
    DeviceKind, DeviceTable, Keep, Knob, Metric, Mode, Order, Range, Reason, Span, Timestamp, Watts, Why,
};
use policy::reflex::Footing;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The limits that boards start with: not their defaults, so that a restore to the default would be noticed.
pub(super) const ORIGINALS: [f64; 4] = [700.0, 650.0, 600.0, 555.5];

/// Packages and containers with the positions that they start with, in order of their keys.
pub(super) const HOST: [(&str, f64); 4] =
    [("docker/a", 64.0), ("docker/b", 8.0), ("package-0", 350.0), ("package-1", 340.0)];

/// How long is waited for a board that hangs: longer than a loaded machine needs to wake a thread.
pub(super) const PROMPT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) limits: BTreeMap<String, f64>,
    /// Limits set out of band.
    pub(super) out_of_band: BTreeMap<String, f64>,
    pub(super) powers: BTreeMap<String, f64>,
    /// Boards that do not take orders.
    pub(super) broken: Vec<String>,
    /// What is enforced is this much above what was ordered.
    pub(super) excess: f64,
    pub(super) writes: Vec<(String, f64)>,
    /// Positions of packages, in watts, and of groups, in cores. What is not there is gone.
    pub(super) host: BTreeMap<String, f64>,
    /// How often groups were started again, by their names.
    pub(super) restarts: BTreeMap<String, u64>,
    /// Calls until the process dies, before or after the call took effect.
    pub(super) dies: Option<(usize, bool)>,
    journal: PathBuf,
}

impl World {
    fn enforced(&self, key: &str) -> f64 {
        let limit = self.limits[key] + self.excess;
        self.out_of_band.get(key).map_or(limit, |other| limit.min(*other))
    }

    /// Whether the process dies around this call: `Some(true)` after its effect.
    fn death(&mut self) -> Option<bool> {
        let (left, after) = self.dies.as_mut()?;
        if *left == 0 {
            return Some(*after);
        }
        *left -= 1;
        None
    }
}

pub(super) type Shared = Arc<Mutex<World>>;

/// Where calls wait while they hang: all on a board, or those of one kind, as in `GPU-1 write`.
#[derive(Debug, Default)]
pub(super) struct Gate {
    hung: Mutex<Vec<String>>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn hang(&self, what: &str) {
        self.hung.lock().unwrap().push(what.to_owned());
    }

    pub(super) fn free(&self) {
        self.hung.lock().unwrap().clear();
        self.opened.notify_all();
    }

    fn pass(&self, key: &str, call: &str) {
        let call = format!("{key} {call}");
        let hangs = |hung: &mut Vec<String>| hung.iter().any(|what| what == key || *what == call);
        drop(self.opened.wait_while(self.hung.lock().unwrap(), hangs).unwrap());
    }
}

struct Fake(Shared, Arc<Gate>);

impl Actuator for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        knob.only(host_knob(key), key)?;
        let lost = || ActuateError::new("find", Reason::Lost);
        self.0.lock().unwrap().host.get(key).ok_or_else(lost)?;
        Ok(if knob == Knob::CpuQuota { Span::new(0.64, 64.0) } else { Span::new(175.0, 350.0) }.unwrap())
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        knob.only(host_knob(key), key)?;
        self.1.pass(key, "read");
        if !key.starts_with("GPU") {
            let lost = || ActuateError::new("read", Reason::Lost);
            return self.0.lock().unwrap().host.get(key).copied().ok_or_else(lost);
        }
        Ok(self.0.lock().unwrap().enforced(key))
    }

    fn incarnation(&mut self, key: &str, knob: Knob) -> Option<u64> {
        let restarts = self.0.lock().unwrap().restarts.get(key).copied();
        (knob == Knob::CpuQuota).then_some(restarts.unwrap_or_default())
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        order.knob().only(host_knob(order.key()), order.key())?;
        self.1.pass(order.key(), "write");
        let mut world = self.0.lock().unwrap();
        let key = order.key().to_owned();
        if world.broken.contains(&key) {
            return Err(ActuateError::new("set the limit", Reason::Lost));
        }
        let journal = std::fs::read_to_string(&world.journal).unwrap_or_default();
        assert!(journal.contains(&key), "{key} is written to before its original is on disk");
        if !key.starts_with("GPU") {
            let place = world.host.get_mut(&key).ok_or_else(|| ActuateError::new("set", Reason::Lost))?;
            *place = order.value();
            world.writes.push((key, order.value()));
            return Ok(order.value());
        }
        let death = world.death();
        if death != Some(false) {
            world.limits.insert(key.clone(), order.value());
            world.writes.push((key.clone(), order.value()));
        }
        let enforced = world.enforced(&key);
        drop(world);
        assert!(death.is_none(), "the process dies here");
        Ok(enforced)
    }
}

/// What can be turned of the device with this key.
fn host_knob(key: &str) -> Knob {
    if key.starts_with("docker/") { Knob::CpuQuota } else { Knob::PowerLimit }
}

/// Of one board, or of all.
struct Fast(Shared, Option<(String, Arc<Gate>)>);

impl Collector for Fast {
    fn name(&self) -> &'static str {
        "fake-fast"
    }

    fn collect(&mut self, _now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if let Some((key, gate)) = &self.1 {
            gate.pass(key, "feel");
        }
        let own = |key: &&String| self.1.as_ref().is_none_or(|(own, _)| own == *key);
        for (key, power) in self.0.lock().unwrap().powers.iter().filter(|(key, _)| own(key)) {
            let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, key.as_str()));
            batch.set(slot, Metric::PowerInstant, *power);
        }
        Ok(())
    }
}

/// A node of four boards whose limits only a fake actuator can set.
pub(super) struct Node {
    pub(super) home: tempfile::TempDir,
    pub(super) world: Shared,
    pub(super) gate: Arc<Gate>,
    pub(super) devices: Vec<Known>,
    pub(super) hosts: Vec<Known>,
    pub(super) budget: Option<f64>,
    pub(super) fallback: Option<f64>,
    pub(super) mode: Mode,
}

impl Node {
    pub(super) fn new() -> Self {
        Self::of(ORIGINALS.len())
    }

    /// A node of so many boards.
    pub(super) fn of(boards: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut table = DeviceTable::default();
        let known = |n: usize| Known {
            device: table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key(n)))).unwrap(),
            key: key(n).into(),
            range: Range::new(Watts(200.0), Watts(700.0), Watts(700.0)),
        };
        let devices = (0..boards).map(known).collect();
        let limits = ORIGINALS.iter().cycle().take(boards).enumerate();
        let limits = limits.map(|(n, limit)| (key(n), *limit)).collect();
        let world = World { limits, journal: home.path().join("limits.journal"), ..World::default() };
        let world = Arc::new(Mutex::new(world));
        Self {
            home,
            world,
            gate: Arc::default(),
            devices,
            hosts: Vec::new(),
            budget: Some(20_000.0),
            fallback: None,
            mode: Mode::Enforce,
        }
    }

    /// Adds two packages and two containers.
    pub(super) fn with_host(mut self) -> Self {
        let mut table = DeviceTable::default();
        // Handles behind those of the boards.
        for n in 0..self.devices.len() {
            table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key(n)))).unwrap();
        }
        for (key, position) in HOST {
            let kind = if host_knob(key) == Knob::CpuQuota { DeviceKind::Cgroup } else { DeviceKind::Zone };
            let device = table.register(&Arc::new(DeviceInfo::new(kind, key))).unwrap();
            self.hosts.push(Known { device, key: key.into(), range: None });
            self.world.lock().unwrap().host.insert(key.to_owned(), position);
        }
        self
    }

    pub(super) fn hosts(&self) -> Vec<f64> {
        self.world.lock().unwrap().host.values().copied().collect()
    }

    pub(super) fn host(&self, place: usize, position: f64) -> Decision {
        let known = &self.hosts[place];
        let action = match host_knob(&known.key) {
            Knob::CpuQuota => Action::Quota(Cores(position)),
            _ => Action::Limit(Watts(position)),
        };
        Decision { device: known.device, ..self.decision(0, action, Why::OverHigh) }
    }

    pub(super) fn hands(&self) -> Hands {
        let (one, other) = (Arc::clone(&self.world), Arc::clone(&self.world));
        Hands::direct(vec![Box::new(Fake(one, Arc::clone(&self.gate)))], vec![Box::new(Fast(other, None))])
    }

    /// The same with a thread a board.
    fn hands_apart(&self) -> Hands {
        let (world, gate) = (Arc::clone(&self.world), Arc::clone(&self.gate));
        let open = move |key: &str, _: &model::Calls| {
            let (world, gate) = (Arc::clone(&world), Arc::clone(&gate));
            let fast = Fast(Arc::clone(&world), Some((key.to_owned(), Arc::clone(&gate))));
            Ok(Some(Grip { actuator: Box::new(Fake(world, gate)), fast: Some(Box::new(fast)) }))
        };
        let mut hands = Hands::default();
        hands.apart = Apart::default().with_patience(Patience { feel: PROMPT, call: PROMPT, open: PROMPT });
        hands.apart.add("fake", Arc::new(open));
        hands
    }

    pub(super) fn keeper_apart(&self) -> Keeper {
        let state = Journal::open_if_needed(self.home.path(), self.mode == Mode::Enforce);
        Keeper::new(self.hands_apart(), state, at(0.0))
    }

    pub(super) fn keeper(&self) -> Keeper {
        let state = Journal::open_if_needed(self.home.path(), self.mode == Mode::Enforce);
        Keeper::new(self.hands(), state, at(0.0))
    }

    pub(super) fn brief(&self, decisions: Vec<Decision>) -> Brief {
        let devices = self.devices.iter().map(|known| (known.device, Watts(840.0))).collect();
        let (budget, rest) = (self.budget.map(Watts), Watts(1000.0));
        let footing = Footing { budget, rest, gain_margin: 0.05, devices };
        let terms = Terms { fallback: self.fallback.map(Watts), margin: 1.2 };
        Brief {
            decisions,
            devices: self.devices.clone(),
            hosts: self.hosts.clone(),
            footing,
            mode: self.mode,
            terms,
            ..Brief::default()
        }
    }

    /// Lets a keeper carry decisions out.
    pub(super) fn act(&self, keeper: &mut Keeper, decisions: Vec<Decision>, now: Timestamp) -> Report {
        keeper.brief(&mut self.brief(decisions));
        keeper.tick(now);
        let mut report = Report::default();
        keeper.report(&mut report);
        report
    }

    pub(super) fn decision(&self, board: usize, action: Action, why: Why) -> Decision {
        let (device, mode): (DeviceId, Mode) = (self.devices[board].device, self.mode);
        Decision {
            id: 1,
            at: at(0.0),
            device,
            action,
            why,
            event: None,
            expires: None,
            keep: Keep::Safety,
            mode,
        }
    }

    pub(super) fn limit(&self, board: usize, watts: f64) -> Decision {
        self.decision(board, Action::Limit(Watts(watts)), Why::OverHigh)
    }

    pub(super) fn limits(&self) -> Vec<f64> {
        self.world.lock().unwrap_or_else(|dead| dead.into_inner()).limits.values().copied().collect()
    }

    /// The same while a keeper has the journal.
    pub(super) fn journalled_by_others(&self) -> Vec<(String, f64)> {
        let originals = Journal::look(self.home.path()).unwrap();
        originals.into_iter().map(|((key, _), original)| (key, original.value)).collect()
    }

    pub(super) fn journalled(&self) -> Vec<(String, f64)> {
        let journal = Journal::open(self.home.path()).unwrap();
        journal.originals().map(|(key, _, original)| (key.to_owned(), original.value)).collect()
    }
}

pub(super) fn key(board: usize) -> String {
    format!("GPU-{board}")
}

pub(super) fn at(seconds: f64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs_f64(seconds))
}
