//! The alarm: a workload that its neighbours have slowed beyond the noise floor is told of, with resource and measure.
use super::estimator::Estimator;
use super::{NAME, kept};
use model::interference::Estimate;
use model::{
    Detector, DeviceId, EventSink, Evidence, FaultKind, Finding, Frame, History, Metric, Resource, Severity,
};

impl Estimator {
    fn finding(&self, frame: &Frame, device: DeviceId, estimate: &Estimate) -> Finding {
        let fault = FaultKind::Interference;
        let waited = frame.value(device, Metric::CgroupRunDelay);
        let waits = estimate.resource == Some(Resource::RunQueue);
        let evidence = |observed| Evidence { metric: Metric::CgroupRunDelay, observed, expected: 0.0 };
        Finding {
            detector: NAME,
            device,
            fault,
            code: 0,
            detail: estimate.resource.map_or("", Resource::as_str),
            severity: Severity::Warning,
            remedy: fault.remedy(),
            score: self.floor() / estimate.y,
            evidence: [waited.filter(|_| waits).map(evidence), None, None, None],
        }
    }
}

impl Detector for Estimator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.take(frame);
        for (device, estimate) in self.alarms() {
            events.push(self.finding(frame, device, &estimate));
        }
    }

    fn learnt(&self, frame: &Frame) -> Option<Vec<u8>> {
        kept::write(self.profiles(frame))
    }

    fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.await_profiles(kept::read(bytes)?);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.held_bytes()
    }
}
