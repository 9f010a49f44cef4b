//! The host: processor packages, and containers where no package can be held, as the last resort once accelerators have nothing
//! left to give.
use crate::budget;
use crate::drift::Standing;
use crate::scene::{Scene, propose};
use crate::settings::Settings;
use model::snapshot::PowerStage;
use model::stages::Cap;
use model::{
    Absence, Action, Cores, Device, DeviceId, DeviceKind, Keep, Knob, Metric, Mode, Priority, Proposal,
    ProposalSink, Reading, Span, Timestamp, View, Watts, Why,
};

/// The smallest change of a quota that is worth a write. A tenth of a core is about half a watt.
const DEADBAND: Cores = Cores(0.1);

/// What became of the orders for one device.
#[derive(Debug, Clone, Copy, Default)]
struct Try {
    generation: u32,
    /// The position that was asked for, and when.
    asked: Option<(f64, Timestamp)>,
    /// How often in a row it did not come about, and when last.
    failed: (u32, Timestamp),
}

/// What is remembered of the host's knobs.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// By device index.
    tries: Vec<Try>,
    /// Since when accelerators have had nothing left to give.
    cornered: Option<Timestamp>,
    /// The last step down.
    stepped: Option<Timestamp>,
}

impl Host {
    /// Looks at one beat: what became of the last step, and whether accelerators have anything left to give.
    pub(crate) fn look(&mut self, scene: &Scene<'_>) {
        self.cornered = cornered(scene).then(|| self.cornered.unwrap_or(scene.view.now));
        self.tries.resize(scene.view.frame.devices.len(), Try::default());
        for device in packages(scene).map(|it| it.device).chain(groups(scene).map(|it| it.device)) {
            let one = &mut self.tries[device.index()];
            let generation = scene.view.frame.devices.get(device).generation;
            if one.generation != generation {
                *one = Try { generation, ..Try::default() };
            }
            one.settle(scene, device);
        }
    }

    /// Whether orders for a device come about, and stay.
    fn works(&self, device: DeviceId, scene: &Scene<'_>) -> bool {
        let most = scene.settings.reassert_max;
        let come = self.tries.get(device.index()).is_none_or(|one| one.failed.0 < most);
        come && !scene.drift.contended(device)
    }

    /// One step down, once every accelerator that is not of high priority has been at its floor for as long as power needs to
    /// follow, and power is still too high: of packages, or of containers of low priority where a package cannot be held and no other has
    /// anything to give. To the
    /// floor at once where power is above the budget.
    pub(crate) fn tighten(&mut self, scene: &Scene<'_>, stage: PowerStage, sink: &mut ProposalSink) {
        let Settings { high, release_gap, settle, .. } = *scene.settings;
        let (now, share) = (scene.view.now, scene.share());
        // Under the brake accelerators stay at their floors until power is this low, so that the host alone can end it.
        let stuck = stage == PowerStage::Brake && share >= high - release_gap;
        let waited = |since: Timestamp| now.since(since) >= settle;
        if !(share > high || stuck) || !self.cornered.is_some_and(waited) || !self.stepped.is_none_or(waited)
        {
            return;
        }
        let why = if share > 1.0 { Why::OverBudget } else { Why::OverHigh };
        let before = sink.proposals.len();
        let able = |it: &Package<'_>| self.works(it.device, scene) && !it.escaped(scene);
        let lower = |it: Package<'_>| Some((it.device, it.lower(scene)?));
        for (device, to) in packages(scene).filter(able).filter_map(lower) {
            sink.proposals.push(propose(device, Action::Limit(to), why));
        }
        let held = packages(scene).next().is_some() && packages(scene).all(|it| able(&it));
        if sink.proposals.len() == before && !held {
            let lower = |it: Group<'_>| Some((it.device, it.lower(scene)?));
            let able = |it: &Group<'_>| self.works(it.device, scene);
            for (device, to) in groups(scene).filter(able).filter_map(lower) {
                sink.proposals.push(propose(device, Action::Quota(to), why));
            }
        }
        self.note(&sink.proposals[before..], now);
    }

    /// Remembers what was asked for.
    fn note(&mut self, proposals: &[Proposal], now: Timestamp) {
        for proposal in proposals {
            self.stepped = Some(now);
            if let (Some(one), Some(to)) =
                (self.tries.get_mut(proposal.device.index()), proposal.action.value())
            {
                one.asked = Some((to, now));
            }
        }
    }
}

impl Try {
    /// Compares what was asked for with what is in force, once the keeper has had the time to carry it out.
    fn settle(&mut self, scene: &Scene<'_>, device: DeviceId) {
        let now = scene.view.now;
        if now.since(self.failed.1) >= scene.settings.reassert_memory {
            self.failed.0 = 0;
        }
        let due = |(_, since): &(f64, Timestamp)| now.since(*since) >= scene.settings.settle;
        let Some((asked, _)) = self.asked.filter(due) else { return };
        // What somebody else has raised again at once did not come about either.
        let quota = scene.view.caps.quotas.iter().find(|cap| cap.device == device);
        let most = asked + DEADBAND.0;
        let read = quota_in_force(scene.view, device);
        let quota = quota.is_some_and(|cap| cap.limit.0 <= most) && read.is_none_or(|read| read.0 <= most);
        let most = asked + scene.settings.deadband.0;
        let read = scene.view.frame.value(device, Metric::ZoneLimitLong);
        let limit = scene.view.cap(device).is_some_and(|cap| cap.limit.0 <= most);
        self.asked = None;
        if quota || limit && read.is_none_or(|read| read <= most) {
            self.failed.0 = 0;
        } else if scene.view.mode == Mode::Enforce {
            // Advice is not carried out, which says nothing of the knob.
            self.failed = (self.failed.0 + 1, now);
        }
    }
}

/// Whether every accelerator that is not of high priority is at its floor, as far as it can be brought there. One whose limit is not
/// known might have something left to give.
fn cornered(scene: &Scene<'_>) -> bool {
    let least = |limit: Watts, floor: Watts| limit <= floor + scene.settings.deadband;
    scene.loads.iter().all(|load| {
        let given = scene.view.priority(load.device) == Priority::High || scene.drift.contended(load.device);
        let at_floor = |range: model::Range| scene.in_force(load).is_some_and(|now| least(now, range.min()));
        given || load.range.is_none_or(at_floor)
    })
}

/// A processor package whose limit can be turned and whose power is read: only power tells whether a limit of RAPL is held.
#[derive(Debug, Clone, Copy)]
struct Package<'a> {
    device: DeviceId,
    cap: Option<&'a Cap>,
    /// The limit that is read.
    enforced: Watts,
    original: Watts,
    floor: Watts,
    draws: Watts,
}

impl Package<'_> {
    /// The limit in force: the one that is read, or our cap where that is newer.
    fn limit(&self, scene: &Scene<'_>) -> Watts {
        let newer = self.cap.filter(|cap| !scene.settled(cap));
        newer.map_or(self.enforced, |cap| cap.limit.min(self.enforced))
    }

    /// The next step down; `None`: nothing that is worth a write, or nothing that it would give.
    fn lower(&self, scene: &Scene<'_>) -> Option<Watts> {
        let stride = (self.original - self.floor) * scene.settings.step;
        let now = self.limit(scene);
        let stepped = (now.min(self.draws) - stride).max(self.floor);
        let to = if scene.share() > 1.0 { self.floor } else { stepped };
        (self.draws > self.floor && to + scene.settings.deadband < now).then_some(to)
    }

    /// The next step up into so many watts.
    fn higher(&self, scene: &Scene<'_>, cap: &Cap, room: Watts) -> Option<Action> {
        let deadband = scene.settings.deadband;
        if self.enforced + deadband < cap.limit {
            // Somebody else's tighter limit is not ours to lift.
            return None;
        }
        let fits = self.draws + room;
        let stride = (self.original - self.floor) * scene.settings.step;
        let to = fits.min(cap.limit + stride).min(cap.original);
        match () {
            () if to + deadband >= cap.original && fits >= cap.original => {
                Some(Action::Release(Knob::PowerLimit))
            }
            () if to > cap.limit + deadband => Some(Action::Limit(to)),
            () => None,
        }
    }

    /// Whether it draws more than a cap of ours that has been there for longer than its window.
    fn escaped(&self, scene: &Scene<'_>) -> bool {
        let most = |cap: &Cap| cap.limit * (1.0 + scene.settings.gain_margin) + scene.settings.deadband;
        let old = |cap: &&Cap| scene.view.now.since(cap.since) >= scene.settings.host_settle;
        self.cap.filter(old).is_some_and(|cap| self.draws > most(cap))
    }
}

/// Whether a package draws more than its cap.
pub(crate) fn not_held(scene: &Scene<'_>) -> bool {
    packages(scene).any(|it| it.escaped(scene))
}

fn packages<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = Package<'a>> {
    let view = scene.view;
    let whole = |device: &&Device| device.info.key.starts_with("package-") && !device.info.key.contains('/');
    view.frame.devices.of_kind(DeviceKind::Zone).filter(whole).filter_map(move |device| {
        let device = device.id;
        let span = view.reach(device, Knob::PowerLimit)?;
        let enforced = Watts(view.frame.value(device, Metric::ZoneLimitLong)?);
        let draws = Watts(view.history.latest(view.frame, device, Metric::ZoneEnergy)?);
        let cap = view.cap(device).filter(|cap| cap.keep == Keep::Safety);
        let original = cap.map_or(enforced, |cap| cap.original);
        let floor = (original * scene.settings.host_floor).max(Watts(span.min())).min(original);
        Some(Package { device, cap, enforced, original, floor, draws })
    })
}

/// A container of low priority whose processor time can be turned and is read.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    device: DeviceId,
    cap: Option<&'a Cap<Cores>>,
    span: Span,
    uses: Cores,
    /// The quota that is read; `None`: it cannot be.
    enforced: Option<Cores>,
}

impl Group<'_> {
    /// The quota in force: the one that is read, or our cap where that is newer; without either it is not known to be less than
    /// everything.
    fn limit(&self, scene: &Scene<'_>) -> Cores {
        let enforced = self.enforced.map(|now| now.0.min(self.span.max()));
        let now = match (self.cap, enforced) {
            (Some(cap), Some(now)) if scene.settled(cap) => now,
            (Some(cap), now) => cap.limit.0.min(now.unwrap_or(f64::INFINITY)),
            (None, now) => now.unwrap_or(self.span.max()),
        };
        Cores(now)
    }

    fn lower(&self, scene: &Scene<'_>) -> Option<Cores> {
        let floor = scene.settings.host_cores.0.max(self.span.min());
        let limit = self.limit(scene).0;
        let stepped = limit.min(self.uses.0) * scene.settings.host_quota_step;
        let to = if scene.share() > 1.0 { floor } else { stepped.max(floor) };
        (self.uses.0 > floor && to + DEADBAND.0 < limit).then_some(Cores(to))
    }

    fn higher(&self, scene: &Scene<'_>, cap: &Cap<Cores>, room: Option<Watts>) -> Option<Action> {
        if self.enforced.is_none_or(|now| now.0 + DEADBAND.0 < cap.limit.0) {
            // Somebody else's tighter quota is not ours to lift, and one that is not read might be.
            return None;
        }
        // A core draws what the machine's packages draw at most, divided by its cores.
        let core = scene.settings.packages * (1.0 / self.span.max());
        let fits = room.map_or(f64::INFINITY, |room| self.uses.0 + room.0 / core.0);
        let to = fits.min(cap.limit.0 / scene.settings.host_quota_step).min(cap.original.0);
        match () {
            () if to + DEADBAND.0 >= cap.original.0 && fits >= cap.original.0 => {
                Some(Action::Release(Knob::CpuQuota))
            }
            () if to > cap.limit.0 + DEADBAND.0 => Some(Action::Quota(Cores(to))),
            () => None,
        }
    }
}

fn groups<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = Group<'a>> {
    let view = scene.view;
    // Services and slices are the system's own, and a container that nobody named may be what feeds an accelerator.
    let named = move |device: &&Device| {
        device.info.attributes.contains_key("container") && view.priority(device.id) == Priority::Low
    };
    view.frame.devices.of_kind(DeviceKind::Cgroup).filter(named).filter_map(move |device| {
        let device = device.id;
        let span = view.reach(device, Knob::CpuQuota)?;
        let uses = Cores(view.history.latest(view.frame, device, Metric::CgroupCpu)?);
        let of = |cap: &&Cap<Cores>| cap.device == device && cap.keep == Keep::Safety;
        let cap = view.caps.quotas.iter().find(of);
        let enforced = quota_in_force(view, device);
        Some(Group { device, cap, span, uses, enforced })
    })
}

/// The quota that is in force on a group: all there is where it has none; `None` where it cannot be read.
fn quota_in_force(view: &View<'_>, device: DeviceId) -> Option<Cores> {
    match view.frame.get(device, Metric::CgroupQuota) {
        Reading::Value(cores) => Some(Cores(cores)),
        Reading::Absent(Absence::Unsupported) => Some(Cores(f64::INFINITY)),
        Reading::Absent(_) => None,
    }
}

/// What we hold of the host, and what is in force there.
pub(crate) fn standings<'a>(
    view: &'a View<'_>,
    settings: &Settings,
) -> impl Iterator<Item = Standing> + 'a + use<'a> {
    let slack = settings.deadband.0;
    let package = move |device: &Device| {
        let limit = view.frame.value(device.id, Metric::ZoneLimitLong);
        let cap = view.cap(device.id).map(|cap| (Action::Limit(cap.limit), cap.limit.0, cap.since));
        Standing { device: device.id, cap, in_force: limit, slack }
    };
    let group = move |device: &Device| {
        let cap = view.caps.quotas.iter().find(|cap| cap.device == device.id);
        let cap = cap.map(|cap| (Action::Quota(cap.limit), cap.limit.0, cap.since));
        let in_force = quota_in_force(view, device.id).map(|now| now.0);
        Standing { device: device.id, cap, in_force, slack: DEADBAND.0 }
    };
    let of = move |kind: DeviceKind| view.frame.devices.of_kind(kind);
    of(DeviceKind::Zone).map(package).chain(of(DeviceKind::Cgroup).map(group))
}

/// Whether something of the host is above our cap however often it is set again.
pub(crate) fn contended(scene: &Scene<'_>) -> bool {
    held(scene).any(|(device, _)| scene.drift.contended(device))
}

/// The host's devices that are held by us, with the knob. Whatever else is not known of them.
fn held<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = (DeviceId, Knob)> + 'a {
    let view = scene.view;
    let there = move |device: DeviceId, kind: DeviceKind| {
        let device = view.frame.devices.get(device);
        !device.gone && device.info.kind == kind
    };
    let limits = view.caps.power.iter().filter(|cap| cap.keep == Keep::Safety).map(|cap| cap.device);
    let limits = limits.filter(move |device| there(*device, DeviceKind::Zone));
    let quotas = view.caps.quotas.iter().filter(|cap| cap.keep == Keep::Safety).map(|cap| cap.device);
    let quotas = quotas.filter(move |device| there(*device, DeviceKind::Cgroup));
    limits.map(|device| (device, Knob::PowerLimit)).chain(quotas.map(|device| (device, Knob::CpuQuota)))
}

/// Whether anything of the host is held by us.
pub(crate) fn capped(scene: &Scene<'_>) -> bool {
    held(scene).next().is_some()
}

/// Gives everything of the host back, because the operator does not want it turned any more.
pub(crate) fn free(scene: &Scene<'_>, sink: &mut ProposalSink) {
    let free = |(device, knob)| propose(device, Action::Release(knob), Why::Stop);
    sink.proposals.extend(held(scene).map(free));
}

/// Proposes one step up into the room, as for accelerators: packages, then containers; says whether there was anything to propose.
pub(crate) fn raise(scene: &Scene<'_>, room: Watts, sink: &mut ProposalSink) -> bool {
    let (before, factor) = (sink.proposals.len(), 1.0 + scene.settings.gain_margin);
    let count = packages(scene).filter(|it| it.cap.is_some()).count();
    let each = room * (1.0 / (factor * count.max(1) as f64));
    let up = |it: Package<'_>| Some((it.device, it.higher(scene, it.cap?, each)?));
    for (device, action) in packages(scene).filter_map(up) {
        sink.proposals.push(propose(device, action, Why::Headroom));
    }
    if sink.proposals.len() > before {
        return true;
    }
    // Where packages are not read they are counted as configured already, whatever containers do; else they cannot draw more than that.
    let now = budget::packages(scene.view.frame, scene.view.history);
    let more = now.map_or(Watts::ZERO, |now| (scene.settings.packages - now).max(Watts::ZERO) * factor);
    let count = groups(scene).filter(|it| it.cap.is_some()).count();
    let each = (more > room).then(|| room * (1.0 / (factor * count.max(1) as f64)));
    let up = |it: Group<'_>| Some((it.device, it.higher(scene, it.cap?, each)?));
    for (device, action) in groups(scene).filter_map(up) {
        sink.proposals.push(propose(device, action, Why::Headroom));
    }
    sink.proposals.len() > before
}
