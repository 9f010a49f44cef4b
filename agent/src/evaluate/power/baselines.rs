//! Policies to compare with, written for this comparison: what sites do without wattkeeper. They act on the beat alone, believe
//! their sensors, and take the last value for one that is missing.
use super::contender::Law;
use model::{Action, DeviceId, Keep, Knob, Metric, Priority, Proposal, ProposalSink, View, Watts, Why};

/// One threshold as POLCA's baselines have it (arXiv 2308.12908; 89 % from memory of its text), and where it lets go: five points
/// below.
const THRESHOLD: f64 = 0.89;
const RELEASE: f64 = 0.84;
/// The capped limit as a share of the largest: a fifth less peak power is what POLCA's low clock gives.
const CAPPED: f64 = 0.8;
/// Good beats after which a brake is released.
const GOOD_BEATS: u32 = 3;
/// The proportional controller: its set point as a share of the budget, how much of an error it corrects in a beat, and the least
/// change that it makes, in watts.
const SET_POINT: f64 = 0.95;
const GAIN: f64 = 0.5;
const DEADBAND_W: f64 = 5.0;

/// What a baseline remembers of its sensors.
#[derive(Debug, Default)]
struct Sum {
    last_w: Vec<f64>,
    host_w: f64,
}

impl Sum {
    /// Power of the node, in watts, with what was assumed for the rest.
    fn read(&mut self, view: &View<'_>, rest_w: f64) -> f64 {
        let frame = view.frame;
        self.last_w.resize(frame.devices.len(), 0.0);
        for device in frame.devices.accelerators() {
            if let Some(watts) = frame.value(device.id, Metric::PowerInstant) {
                self.last_w[device.id.index()] = watts;
            }
        }
        let zones = frame.devices.of_kind(model::DeviceKind::Zone);
        let host_w: Option<f64> =
            zones.map(|zone| view.history.latest(frame, zone.id, Metric::ZoneEnergy)).sum();
        self.host_w = host_w.unwrap_or(self.host_w);
        let boards_w: f64 = frame.devices.accelerators().map(|device| self.last_w[device.id.index()]).sum();
        boards_w + self.host_w + rest_w
    }
}

fn limit(view: &View<'_>, sink: &mut ProposalSink, device: DeviceId, watts: f64, why: Why) {
    let now = view.frame.value(device, Metric::PowerLimitEnforced);
    if now.is_none_or(|now| (now - watts).abs() > 1.0) {
        sink.proposals.push(Proposal {
            device,
            action: Action::Limit(Watts(watts)),
            why,
            event: None,
            expires: None,
            keep: Keep::Safety,
        });
    }
}

fn release_all(view: &View<'_>, sink: &mut ProposalSink) {
    for cap in &view.caps.power {
        let (device, action, why) = (cap.device, Action::Release(Knob::PowerLimit), Why::Headroom);
        sink.proposals.push(Proposal { device, action, why, event: None, expires: None, keep: Keep::Safety });
    }
}

/// The same limit for every board, for ever: the budget's share.
#[derive(Debug)]
pub(super) struct Static {
    pub(super) budget: Watts,
    /// What everything but the boards is given.
    pub(super) reserve_w: f64,
}

impl Law for Static {
    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink) {
        let count = view.frame.devices.accelerators().count().max(1) as f64;
        let share_w = (self.budget.0 - self.reserve_w) / count;
        for device in view.frame.devices.accelerators() {
            let now_w = view.frame.value(device.id, Metric::PowerLimitEnforced).unwrap_or(share_w);
            let why = if share_w > now_w { Why::Headroom } else { Why::OverHigh };
            // An operator's tighter limit stays.
            let original = view.cap(device.id).map_or(now_w, |cap| cap.original.0);
            limit(view, sink, device.id, share_w.min(original), why);
        }
    }

    fn set_budget(&mut self, budget: Watts) {
        self.budget = budget;
    }
}

/// One threshold and a brake.
#[derive(Debug)]
pub(super) struct Threshold {
    pub(super) budget: Watts,
    pub(super) rest_w: f64,
    /// Whether only work of low priority is capped at the threshold.
    pub(super) low_only: bool,
    sum: Sum,
    braked: bool,
    good_beats: u32,
}

impl Threshold {
    pub(super) fn new(budget: Watts, rest_w: f64, low_only: bool) -> Self {
        Self { budget, rest_w, low_only, sum: Sum::default(), braked: false, good_beats: 0 }
    }
}

impl Law for Threshold {
    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink) {
        let share = self.sum.read(view, self.rest_w) / self.budget.0;
        if share > 1.0 {
            (self.braked, self.good_beats) = (true, 0);
        }
        if self.braked {
            self.good_beats = if share < RELEASE { self.good_beats + 1 } else { 0 };
            if self.good_beats >= GOOD_BEATS {
                self.braked = false;
                return release_all(view, sink);
            }
            for device in view.frame.devices.accelerators() {
                let (device, action, why) = (device.id, Action::Brake, Why::OverBudget);
                sink.proposals.push(Proposal {
                    device,
                    action,
                    why,
                    event: None,
                    expires: None,
                    keep: Keep::Safety,
                });
            }
        } else if share > THRESHOLD {
            for device in view.frame.devices.accelerators() {
                if self.low_only && view.priority(device.id) != Priority::Low {
                    continue;
                }
                let most = view.frame.value(device.id, Metric::PowerLimitMax).unwrap_or(700.0);
                let now = view.frame.value(device.id, Metric::PowerLimitEnforced);
                if now.is_none_or(|now| now > CAPPED * most) {
                    limit(view, sink, device.id, CAPPED * most, Why::OverHigh);
                }
            }
        } else if share < RELEASE {
            release_all(view, sink);
        }
    }

    fn set_budget(&mut self, budget: Watts) {
        self.budget = budget;
    }
}

/// A proportional controller: one limit for all boards, moved each beat by a part of the error.
#[derive(Debug)]
pub(super) struct Proportional {
    pub(super) budget: Watts,
    pub(super) rest_w: f64,
    sum: Sum,
    limit_w: f64,
}

impl Proportional {
    pub(super) fn new(budget: Watts, rest_w: f64) -> Self {
        Self { budget, rest_w, sum: Sum::default(), limit_w: 700.0 }
    }
}

impl Law for Proportional {
    fn decide(&mut self, view: &View<'_>, sink: &mut ProposalSink) {
        let power_w = self.sum.read(view, self.rest_w);
        let count = view.frame.devices.accelerators().count().max(1) as f64;
        let error_w = SET_POINT * self.budget.0 - power_w;
        self.limit_w = (self.limit_w + GAIN * error_w / count).clamp(200.0, 700.0);
        for device in view.frame.devices.accelerators() {
            let now_w = view.frame.value(device.id, Metric::PowerLimitEnforced).unwrap_or(self.limit_w);
            let original_w = view.cap(device.id).map_or(now_w, |cap| cap.original.0);
            let wanted_w = self.limit_w.min(original_w);
            if (wanted_w - now_w).abs() > DEADBAND_W {
                let why = if wanted_w > now_w { Why::Headroom } else { Why::OverHigh };
                limit(view, sink, device.id, wanted_w, why);
            }
        }
    }

    fn set_budget(&mut self, budget: Watts) {
        self.budget = budget;
    }
}
