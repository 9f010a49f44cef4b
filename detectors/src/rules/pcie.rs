//! PCIe links that are narrower or slower than device and slot allow, while there is work to do.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Frame, History, Metric, Severity};

/// What a link is, and the most it can be.
const PAIRS: [(Metric, Metric); 2] =
    [(Metric::PcieWidth, Metric::PcieWidthMax), (Metric::PcieGeneration, Metric::PcieGenerationMax)];

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    generation: u32,
    /// Seconds under load for which the link has been narrow, pauses left out.
    narrow_s: f64,
}

#[derive(Debug)]
struct Pcie {
    thresholds: Thresholds,
    /// By device index.
    watched: Vec<Watched>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Pcie { thresholds: *thresholds, watched: Vec::new() })
}

fn below(frame: &Frame, device: &Device) -> Option<Evidence> {
    PAIRS.iter().find_map(|&(now, most)| {
        let (observed, expected) = (frame.value(device.id, now)?, frame.value(device.id, most)?);
        (observed < expected).then(|| evidence(now, observed, expected))
    })
}

impl Pcie {
    /// The narrow link, once it has been narrow under load for long enough. A pause in the load says nothing, since the
    /// link may rest then; a full link under load or at rest is proof of health.
    fn follow(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let watched = &mut self.watched[device.id.index()];
        if watched.generation != device.generation {
            *watched = Watched { generation: device.generation, narrow_s: 0.0 };
        }
        let read = |metric| frame.value(device.id, metric).is_some();
        let known = PAIRS.iter().any(|(now, most)| read(*now) && read(*most));
        let Some(evidence) = below(frame, device) else {
            if known {
                watched.narrow_s = 0.0;
            }
            return None;
        };
        let share = frame.value(device.id, Metric::Utilization)?;
        if share < self.thresholds.pcie_busy_share {
            return None;
        }
        watched.narrow_s += frame.beat_s;
        (watched.narrow_s >= self.thresholds.pcie_narrow_s).then_some(evidence)
    }
}

impl Detector for Pcie {
    fn name(&self) -> &'static str {
        "pcie"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched.resize(frame.devices.len(), Watched::default());
        for device in frame.devices.accelerators() {
            if let Some(evidence) = self.follow(frame, device) {
                let mut found =
                    finding("pcie", device.id, FaultKind::PcieNarrow, Severity::Warning, evidence);
                found.score = evidence.expected / evidence.observed.max(1.0);
                events.push(found);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.watched.capacity() * size_of::<Watched>()
    }
}
