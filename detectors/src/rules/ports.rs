//! InfiniBand ports that are down, and those that go down and come back again and again.
use super::watch::ByDevice;
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{
    Detector, Device, DeviceKind, EventSink, Evidence, FaultKind, Frame, History, Metric, Timestamp,
};

/// Flaps remembered; the limit's own range keeps it below.
const FLAPS_MAX: usize = 100;

/// What is remembered of one port.
#[derive(Debug, Default)]
struct Port {
    /// Whether it was ever active.
    active: bool,
    /// What [`Ports::watched_s`] was when it went down.
    down: Option<f64>,
    /// When it came back from being down for long, newest last; room for all is made on the port's first beat.
    flaps: Vec<Timestamp>,
}

#[derive(Debug)]
struct Ports {
    voice: Voice,
    ports: ByDevice<Port>,
    /// Seconds for which ports were watched: a clock that stands still over gaps.
    watched_s: f64,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "ports", catalogue: thresholds.catalogue };
    Box::new(Ports { voice, ports: ByDevice::default(), watched_s: 0.0 })
}

impl Ports {
    /// Follows a port. A state that cannot be read says nothing, and time without it still passes.
    fn follow(&mut self, frame: &Frame, device: &Device) {
        let Some(up) = frame.flag(device.id, Metric::PortUp) else { return };
        let flap_s = self.voice.catalogue.limit(Limit::FlapDown);
        let watched_s = self.watched_s;
        let port = self.ports.of(device);
        if port.flaps.capacity() == 0 {
            port.flaps.reserve_exact(FLAPS_MAX);
        }
        if !up {
            if port.active {
                port.down.get_or_insert(watched_s);
            }
            return;
        }
        port.active = true;
        let long = port.down.take().is_some_and(|since| watched_s - since >= flap_s);
        if long {
            if port.flaps.len() == FLAPS_MAX {
                port.flaps.remove(0);
            }
            port.flaps.push(frame.at);
        }
    }

    fn down(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let since =
            self.ports.of(device).down.filter(|_| frame.value(device.id, Metric::PortUp).is_some())?;
        let long = self.watched_s - since >= self.voice.catalogue.limit(Limit::PortDownTime);
        long.then(|| evidence(Metric::PortUp, 0.0, 1.0))
    }

    /// Enough flaps within the window; said on the beat of the last one, and held by the fault's pace.
    fn flapping(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let limit = |limit| self.voice.catalogue.limit(limit);
        let port = self.ports.of(device);
        if port.flaps.last() != Some(&frame.at) {
            return None;
        }
        port.flaps.retain(|flap| frame.at.seconds_since(*flap) <= limit(Limit::FlapWindow));
        // At most FLAPS_MAX.
        (port.flaps.len() as f64 >= limit(Limit::Flaps)).then(|| evidence(Metric::PortUp, 0.0, 1.0))
    }
}

impl Detector for Ports {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.ports.fit(&frame.devices);
        self.watched_s += frame.lasted_s;
        for device in frame.devices.of_kind(DeviceKind::Port) {
            self.follow(frame, device);
            if let Some(seen) = self.down(frame, device) {
                events.push(self.voice.says(FaultKind::PortDown, device, seen));
            }
            if let Some(seen) = self.flapping(frame, device) {
                events.push(self.voice.says(FaultKind::PortFlapping, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.ports.bytes()
    }
}
