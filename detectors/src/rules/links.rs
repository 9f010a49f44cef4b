//! Links between accelerators: errors by generation, and links that are down.
//!
//! Up to generation 4 replays are counted, from 5 on they are not: that tells the two apart.
use super::watch::{ByDevice, Meter, Minute};
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric};

/// What is followed of a device: which sum, and what it may be within a minute on older and on newer links.
#[derive(Debug, Clone, Copy)]
enum Sum {
    Replays,
    Recoveries,
    Crc,
}

impl Sum {
    const ALL: [Self; 3] = [Self::Replays, Self::Recoveries, Self::Crc];

    const fn metric(self) -> Metric {
        match self {
            Self::Replays => Metric::LinkErrorsReplay,
            Self::Recoveries => Metric::LinkErrorsRecovery,
            Self::Crc => Metric::LinkErrorsCrc,
        }
    }

    /// The limit, and whether it is the worse case.
    const fn limit(self, older: bool) -> (Limit, bool) {
        match (self, older) {
            (Self::Replays, _) => (Limit::OlderReplays, true),
            (Self::Recoveries, true) => (Limit::OlderRecoveries, true),
            (Self::Recoveries, false) => (Limit::NewerRecoveries, false),
            (Self::Crc, _) => (Limit::OlderCrc, false),
        }
    }
}

/// What is remembered of one accelerator.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    meters: [Meter; Sum::ALL.len()],
    minutes: [Minute; Sum::ALL.len()],
    /// The most links that were up.
    up_most: f64,
}

#[derive(Debug)]
struct Links {
    voice: Voice,
    watched: ByDevice<Watched>,
    /// Recoveries that failed, by link.
    failures: ByDevice<(Meter, Minute)>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "links", catalogue: thresholds.catalogue };
    Box::new(Links { voice, watched: ByDevice::default(), failures: ByDevice::default() })
}

impl Links {
    fn errors(&mut self, frame: &Frame, device: &Device, events: &mut EventSink) {
        let older = frame.value(device.id, Metric::LinkErrorsReplay).is_some();
        let watched = self.watched.of(device);
        for sum in Sum::ALL {
            let minute = &mut watched.minutes[sum as usize];
            minute.pass(frame.beat_s);
            let growth = watched.meters[sum as usize].read(frame, device, sum.metric());
            let Some(growth) = growth else { continue };
            minute.add(growth.within(Minute::SECONDS));
            let (limit, worst) = sum.limit(older);
            let limit = self.voice.catalogue.limit(limit);
            let count = minute.sum();
            if count >= limit {
                let seen = evidence(sum.metric(), count / Minute::SECONDS, limit / Minute::SECONDS);
                let storm = matches!(sum, Sum::Crc)
                    && growth.count >= self.voice.catalogue.limit(Limit::OlderCrcRate) * growth.seconds
                    && growth.count > 0.0;
                events.push(self.voice.tells(FaultKind::LinkErrors, device, seen, worst || storm));
            }
        }
    }

    /// A link of generation 5 or later whose recovery failed. The finding is the accelerator's, whose work it ends.
    fn failed(&mut self, frame: &Frame, link: &Device) -> Option<Finding> {
        let (meter, minute) = self.failures.of(link);
        minute.pass(frame.beat_s);
        let growth = meter.read(frame, link, Metric::LinkDowned)?;
        minute.add(growth.within(Minute::SECONDS));
        let (count, limit) = (minute.sum(), self.voice.catalogue.limit(Limit::NewerFailures));
        if count < limit {
            return None;
        }
        let whole = frame.devices.get(frame.devices.whole(link.id));
        let seen = evidence(Metric::LinkDowned, count / Minute::SECONDS, limit / Minute::SECONDS);
        Some(Finding { detail: "a recovery failed", ..self.voice.warns(FaultKind::LinkErrors, whole, seen) })
    }

    /// A link of generation 5 or later on which more bits are wrong than error correction is to leave.
    fn noisy(&self, frame: &Frame, link: &Device) -> Option<Finding> {
        let bounds = [
            (Metric::LinkEffectiveErrors, Limit::NewerEffective, "bit errors after correction"),
            (Metric::LinkSymbolErrors, Limit::NewerSymbol, "symbols that were not mended"),
        ];
        let whole = frame.devices.get(frame.devices.whole(link.id));
        bounds.into_iter().find_map(|(metric, limit, detail)| {
            let limit = self.voice.catalogue.limit(limit);
            let share = frame.value(link.id, metric).filter(|share| *share > limit)?;
            let found = self.voice.warns(FaultKind::LinkErrors, whole, evidence(metric, share, limit));
            Some(Finding { detail, ..found })
        })
    }

    fn down(&mut self, frame: &Frame, device: &Device) -> Option<Finding> {
        let up = frame.value(device.id, Metric::LinksUp)?;
        if frame.flag(device.id, Metric::PartitionMode) == Some(true) {
            self.watched.of(device).up_most = 0.0;
            return None;
        }
        let siblings = self.siblings(frame, device, up);
        let watched = self.watched.of(device);
        watched.up_most = watched.up_most.max(up);
        let expected = siblings.map_or(watched.up_most, |most| most.max(watched.up_most));
        let seen = evidence(Metric::LinksUp, up, expected);
        let score = expected / up.max(1.0);
        (up < expected).then(|| Finding { score, ..self.voice.says(FaultKind::LinkDown, device, seen) })
    }

    /// How many links enough siblings have up, if more than this device has.
    fn siblings(&self, frame: &Frame, device: &Device, up: f64) -> Option<f64> {
        let all = frame.value(device.id, Metric::Links)?;
        // The usual case, in which nobody needs to be asked.
        if up >= all {
            return None;
        }
        let alike = frame.devices.accelerators().filter(|other| {
            other.id != device.id
                && !other.info.model.is_empty()
                && other.info.model == device.info.model
                && frame.value(other.id, Metric::Links) == Some(all)
        });
        let more = alike.filter_map(|other| frame.value(other.id, Metric::LinksUp)).filter(|more| *more > up);
        let (count, least) = more.fold((0.0, f64::INFINITY), |(n, least), more| (n + 1.0, more.min(least)));
        (count >= self.voice.catalogue.limit(Limit::LinksAlike)).then_some(least)
    }
}

impl Detector for Links {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched.fit(&frame.devices);
        self.failures.fit(&frame.devices);
        for device in frame.devices.accelerators() {
            self.errors(frame, device, events);
            self.down(frame, device).into_iter().for_each(|found| events.push(found));
        }
        for link in frame.devices.of_kind(DeviceKind::Link) {
            self.failed(frame, link).into_iter().for_each(|found| events.push(found));
            self.noisy(frame, link).into_iter().for_each(|found| events.push(found));
        }
    }

    fn bytes(&self) -> usize {
        self.watched.bytes() + self.failures.bytes()
    }
}
