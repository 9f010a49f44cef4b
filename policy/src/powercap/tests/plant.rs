//! A toy node for tests: boards that draw what they want up to their limit, and a keeper that acts at once.
use crate::powercap::PowerCap;
use crate::settings::Settings;
use model::snapshot::{PowerStage, PowerState, PowerTrouble};
use model::stages::{Cap, Caps, Reach};
use model::work::{Work, WorkState};
use model::{
    Absence, Action, DeviceId, DeviceInfo, DeviceKind, Frame, Hertz, History, Knob, Metric, Mode,
    Policy as _, Priority, ProcessUse, Proposal, ProposalSink, Reading, Span, Timestamp, View, Watts,
    Workload, WorkloadKind,
};
use std::sync::Arc;
use std::time::Duration;

/// Power of everything but the boards: the defaults for the rest and for unread packages.
pub(crate) const REST: f64 = 1200.0;

/// One board.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    pub(crate) id: DeviceId,
    pub(crate) priority: Priority,
    /// What it would draw without a limit.
    pub(crate) wants: f64,
    /// The requested limit.
    pub(crate) limit: f64,
    /// A limit that somebody set out of band.
    pub(crate) out_of_band: f64,
    /// How far it goes over its limit.
    pub(crate) overdraw: f64,
    /// Least and largest limit; `None`: the driver does not say.
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) readable: bool,
    /// What the sensor shows instead of the truth.
    pub(crate) lie: Option<f64>,
    pub(crate) gone: bool,
    /// What it is seen to do; `None`: nobody can tell.
    pub(crate) work: Option<Work>,
    /// The job whose process is on it.
    pub(crate) job: Option<&'static str>,
    /// Whether its clock can be locked, and where it is.
    pub(crate) lockable: bool,
    pub(crate) clock: f64,
}

/// Clocks of a board that can be locked, in hertz.
pub(crate) const CLOCKS: (f64, f64) = (345e6, 1980e6);

impl Board {
    pub(crate) fn enforced(&self) -> f64 {
        self.limit.min(self.out_of_band)
    }

    pub(crate) fn power(&self) -> f64 {
        // The exponent is the one on dynamic power of the simulator's boards, not the policy's.
        let wants = self.wants * (self.clock / CLOCKS.1).powf(1.2);
        if self.gone { 0.0 } else { wants.min(self.enforced() * self.overdraw) }
    }
}

/// A processor package with a limit of its own.
#[derive(Debug, Clone)]
pub(crate) struct Processor {
    pub(crate) id: DeviceId,
    /// What it would draw without a limit and without containers.
    pub(crate) wants: f64,
    pub(crate) limit: f64,
    /// Least and largest limit; `None`: no actuator turns it.
    pub(crate) span: Option<(f64, f64)>,
    /// Whether writes come about.
    pub(crate) writable: bool,
    /// Whether it holds its limit.
    pub(crate) obeys: bool,
    pub(crate) readable: bool,
    joules: f64,
}

/// A control group; a core draws 5 W on the first processor.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) id: DeviceId,
    pub(crate) priority: Priority,
    /// Cores that it would use.
    pub(crate) wants: f64,
    pub(crate) quota: f64,
    /// Whether the quota in force can be read.
    pub(crate) readable: bool,
    pub(crate) gone: bool,
    seconds: f64,
}

/// Cores of the machine and what one draws.
pub(crate) const CORES: f64 = 64.0;
pub(crate) const CORE_W: f64 = 5.0;

pub(crate) struct Plant {
    pub(crate) processors: Vec<Processor>,
    pub(crate) containers: Vec<Container>,
    pub(crate) boards: Vec<Board>,
    pub(crate) caps: Caps,
    pub(crate) policy: PowerCap,
    pub(crate) now: Timestamp,
    pub(crate) mode: Mode,
    /// Joules of one processor package; `None`: there is none, or it cannot be read.
    pub(crate) package_w: Option<f64>,
    package: Option<DeviceId>,
    joules: f64,
    frame: Frame,
    history: History,
    sink: ProposalSink,
}

impl Plant {
    pub(crate) fn new(wants: &[f64], priorities: &[Priority], budget: f64) -> Self {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let board = |(n, (wants, priority)): (usize, (&f64, &Priority))| Board {
            id: table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")))).unwrap(),
            priority: *priority,
            wants: *wants,
            limit: 700.0,
            out_of_band: f64::INFINITY,
            overdraw: 1.0,
            range: Some((200.0, 700.0)),
            readable: true,
            lie: None,
            gone: false,
            work: None,
            job: None,
            lockable: false,
            clock: CLOCKS.1,
        };
        Self {
            processors: Vec::new(),
            containers: Vec::new(),
            boards: wants.iter().zip(priorities).enumerate().map(board).collect(),
            caps: Caps::default(),
            policy: PowerCap::new(Settings {
                budget: Some(Watts(budget)),
                limits_bound: false,
                ..Settings::default()
            }),
            now: Timestamp::default(),
            mode: Mode::Enforce,
            package_w: None,
            package: None,
            joules: 0.0,
            frame,
            history: History::new(8),
            sink: ProposalSink::default(),
        }
    }

    /// Lets limits count as a bound, as they do by default: most tests are of the thresholds behind them.
    pub(crate) fn bounded(mut self) -> Self {
        self.policy.set(Settings { limits_bound: true, ..*self.policy.settings() });
        self
    }

    /// Makes every board as large as these ranges say, with its limit at the top.
    pub(crate) fn ranges(mut self, ranges: &[(f64, f64)]) -> Self {
        for (board, (min, max)) in self.boards.iter_mut().zip(ranges) {
            (board.range, board.limit) = (Some((*min, *max)), *max);
        }
        self
    }

    pub(crate) fn package(mut self, watts: f64) -> Self {
        let table = Arc::make_mut(&mut self.frame.devices);
        let zone = Arc::new(DeviceInfo::new(DeviceKind::Zone, "package-0"));
        (self.package, self.package_w) = (Some(table.register(&zone).unwrap()), Some(watts));
        self
    }

    /// Two packages that would draw so much each, of 350 W each, and lets the policy turn the host.
    pub(crate) fn processors(mut self, wants: f64) -> Self {
        let table = Arc::make_mut(&mut self.frame.devices);
        let package = |n: usize| Processor {
            id: table.register(&Arc::new(DeviceInfo::new(DeviceKind::Zone, format!("package-{n}")))).unwrap(),
            wants,
            limit: 350.0,
            span: Some((150.0, 350.0)),
            writable: true,
            obeys: true,
            readable: true,
            joules: 0.0,
        };
        self.processors = (0..2).map(package).collect();
        self.policy.set(Settings { host: true, ..*self.policy.settings() });
        self
    }

    /// Adds a group; a container, or a service.
    pub(crate) fn group(mut self, name: &str, container: bool, priority: Priority, wants: f64) -> Self {
        let mut info = DeviceInfo::new(DeviceKind::Cgroup, name);
        if container {
            info.attributes.insert("container".into(), name.into());
        }
        let id = Arc::make_mut(&mut self.frame.devices).register(&Arc::new(info)).unwrap();
        let (quota, readable, gone, seconds) = (CORES, true, false, 0.0);
        self.containers.push(Container { id, priority, wants, quota, readable, gone, seconds });
        self
    }

    /// What a processor draws.
    pub(crate) fn draws(&self, place: usize) -> f64 {
        let used = |group: &Container| if group.gone { 0.0 } else { group.wants.min(group.quota) };
        let cores: f64 = self.containers.iter().map(used).sum();
        let one = &self.processors[place];
        let wants = one.wants + if place == 0 { cores * CORE_W } else { 0.0 };
        if one.obeys { wants.min(one.limit) } else { wants }
    }

    /// Power of the whole node where processors are read.
    pub(crate) fn whole(&self) -> f64 {
        let processors: f64 = (0..self.processors.len()).map(|place| self.draws(place)).sum();
        self.boards.iter().map(Board::power).sum::<f64>() + 500.0 + processors
    }

    pub(crate) fn limits(&self) -> Vec<f64> {
        self.boards.iter().map(|board| board.limit).collect()
    }

    pub(crate) fn total(&self) -> f64 {
        self.boards.iter().map(Board::power).sum::<f64>() + REST
    }

    pub(crate) fn want(&mut self, wants: &[f64]) {
        self.boards.iter_mut().zip(wants).for_each(|(board, wants)| board.wants = *wants);
    }

    pub(crate) fn state(&self) -> &PowerState {
        self.sink.power.as_ref().unwrap()
    }

    pub(crate) fn stage(&self) -> PowerStage {
        self.state().stage
    }

    pub(crate) fn troubled(&self, trouble: PowerTrouble) -> bool {
        self.state().troubles.contains(&trouble)
    }

    /// Runs some beats one second apart and gives the proposals of the last one.
    pub(crate) fn beats(&mut self, count: usize) -> Vec<Proposal> {
        (0..count).map(|_| self.beat()).last().unwrap_or_default()
    }

    pub(crate) fn beat(&mut self) -> Vec<Proposal> {
        self.now = self.now.after(Duration::from_secs(1));
        self.sense();
        self.decide();
        let proposals = self.sink.proposals.clone();
        if self.mode == Mode::Enforce {
            proposals.iter().for_each(|proposal| self.carry_out(proposal));
        }
        proposals
    }

    pub(crate) fn decide(&mut self) {
        let mut priorities = vec![Priority::Normal; self.frame.devices.len()];
        self.boards.iter().for_each(|board| priorities[board.id.index()] = board.priority);
        self.sink.begin();
        self.containers.iter().for_each(|group| priorities[group.id.index()] = group.priority);
        let lockable = self.boards.iter().filter(|board| board.lockable);
        let span = Span::new(CLOCKS.0, CLOCKS.1).unwrap();
        let mut reaches: Vec<_> =
            lockable.map(|board| Reach { device: board.id, knob: Knob::ClockMax, span }).collect();
        let reach = |device, knob, (min, max)| Reach { device, knob, span: Span::new(min, max).unwrap() };
        let packages = self.processors.iter();
        reaches.extend(packages.filter_map(|one| Some(reach(one.id, Knob::PowerLimit, one.span?))));
        let groups = self.containers.iter().filter(|group| !group.gone);
        reaches.extend(groups.map(|group| reach(group.id, Knob::CpuQuota, (0.64, CORES))));
        let view = View {
            now: self.now,
            frame: &self.frame,
            history: &self.history,
            events: &[],
            caps: &self.caps,
            reaches: &reaches,
            priorities: &priorities,
            outcomes: &[],
            mode: self.mode,
        };
        self.policy.decide(&view, &mut self.sink);
    }

    fn sense(&mut self) {
        let table = Arc::make_mut(&mut self.frame.devices);
        self.boards.iter().filter(|board| board.gone).for_each(|board| table.retire(board.id));
        self.containers.iter().filter(|group| group.gone).for_each(|group| table.retire(group.id));
        self.frame.begin(self.now);
        for board in self.boards.iter().filter(|board| !board.gone) {
            let shown = Reading::Value(board.lie.unwrap_or(board.power()));
            let late = Reading::Absent(Absence::Late);
            self.frame.put(board.id, Metric::PowerInstant, if board.readable { shown } else { late });
            self.frame.put(board.id, Metric::PowerLimitEnforced, Reading::Value(board.enforced()));
            self.frame.put(board.id, Metric::ClockSm, Reading::Value(board.clock));
            self.frame.put(board.id, Metric::ClockSmMax, Reading::Value(CLOCKS.1));
            if let Some(work) = board.work {
                let (device, since) = (board.id, Timestamp::default());
                self.frame.works.push(WorkState { device, work, confidence: 0.9, since });
            }
            if let Some(job) = board.job {
                self.frame.processes.push(ProcessUse {
                    device: board.id,
                    pid: 1,
                    name: "python".into(),
                    memory_bytes: None,
                    utilization: None,
                    workload: Some(Arc::new(Workload::new(WorkloadKind::Slurm, job))),
                });
            }
            let Some((min, max)) = board.range else { continue };
            self.frame.put(board.id, Metric::PowerLimitMin, Reading::Value(min));
            self.frame.put(board.id, Metric::PowerLimitMax, Reading::Value(max));
            self.frame.put(board.id, Metric::PowerLimitDefault, Reading::Value(max));
        }
        if let (Some(zone), Some(watts)) = (self.package, self.package_w) {
            self.joules += watts;
            self.frame.put(zone, Metric::ZoneEnergy, Reading::Value(self.joules));
        }
        self.sense_host();
        self.history.append(&self.frame);
    }

    fn sense_host(&mut self) {
        for place in 0..self.processors.len() {
            let watts = self.draws(place);
            let one = &mut self.processors[place];
            one.joules += watts;
            let shown =
                |value| if one.readable { Reading::Value(value) } else { Reading::Absent(Absence::Late) };
            self.frame.put(one.id, Metric::ZoneEnergy, shown(one.joules));
            self.frame.put(one.id, Metric::ZoneLimitLong, shown(one.limit));
        }
        for group in self.containers.iter_mut().filter(|group| !group.gone) {
            group.seconds += group.wants.min(group.quota);
            self.frame.put(group.id, Metric::CgroupCpu, Reading::Value(group.seconds));
            let quota = match group.quota {
                _ if !group.readable => Reading::Absent(Absence::Denied),
                quota if quota >= CORES => Reading::Absent(Absence::Unsupported),
                quota => Reading::Value(quota),
            };
            self.frame.put(group.id, Metric::CgroupQuota, quota);
        }
    }

    /// Carries out what is about the host; says whether it was.
    fn carry_out_host(&mut self, proposal: &Proposal) -> bool {
        let Proposal { device, action, keep, .. } = *proposal;
        let (since, releases) = (self.now, matches!(action, Action::Release(_)));
        if let Some(one) = self.processors.iter_mut().find(|one| one.id == device) {
            let known = self.caps.power.iter().find(|cap| cap.device == device).map(|cap| cap.original);
            let original = known.unwrap_or(Watts(one.limit));
            let (min, max) = one.span.expect("an order for a package that cannot be turned");
            if one.writable {
                one.limit = action.value().map_or(original.0, |watts| watts.clamp(min, max));
                self.caps.power.retain(|cap| cap.device != device);
                let limit = Watts(one.limit);
                self.caps.power.extend((!releases).then_some(Cap { device, limit, original, since, keep }));
            }
            return true;
        }
        let Some(group) = self.containers.iter_mut().find(|group| group.id == device) else { return false };
        group.quota = action.value().unwrap_or(CORES);
        assert!(!group.gone && (0.64..=CORES).contains(&group.quota));
        self.caps.quotas.retain(|cap| cap.device != device);
        let (limit, original) = (model::Cores(group.quota), model::Cores(CORES));
        self.caps.quotas.extend((!releases).then_some(Cap { device, limit, original, since, keep }));
        true
    }

    fn carry_out(&mut self, proposal: &Proposal) {
        if self.carry_out_host(proposal) {
            return;
        }
        if proposal.action.knob() == Knob::ClockMax {
            return self.lock(proposal);
        }
        let board = self.boards.iter_mut().find(|board| board.id == proposal.device).unwrap();
        let (min, max) = board.range.unwrap();
        assert!(!board.gone, "an order for a device that is gone");
        let known = self.caps.power.iter().find(|cap| cap.device == board.id);
        let original = known.map_or(Watts(board.limit), |cap| cap.original);
        self.caps.power.retain(|cap| cap.device != proposal.device);
        board.limit = match proposal.action {
            Action::Limit(limit) => limit.0.clamp(min, max),
            Action::Brake => min,
            Action::Release(_) => original.0,
            Action::Clock(_) | Action::Quota(_) => return,
        };
        if !matches!(proposal.action, Action::Release(_)) {
            let limit = Watts(board.limit);
            let (device, since, keep) = (proposal.device, self.now, proposal.keep);
            self.caps.power.push(Cap { device, limit, original, since, keep });
        }
    }

    fn lock(&mut self, proposal: &Proposal) {
        let board = self.boards.iter_mut().find(|board| board.id == proposal.device).unwrap();
        assert!(board.lockable && !board.gone, "an order for a clock that cannot be locked");
        self.caps.clocks.retain(|cap| cap.device != proposal.device);
        board.clock = proposal.action.value().unwrap_or(CLOCKS.1);
        assert!((CLOCKS.0..=CLOCKS.1).contains(&board.clock));
        if !matches!(proposal.action, Action::Release(_)) {
            let (limit, original) = (Hertz(board.clock), Hertz(CLOCKS.1));
            let (device, since, keep) = (proposal.device, self.now, proposal.keep);
            self.caps.clocks.push(Cap { device, limit, original, since, keep });
        }
    }
}
