//! A quantity that was measured for long and no longer is, while its device answers.
use super::{Settings, finding};
use model::{Absence, Device, EventSink, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// What comes and goes by its nature.
const FLEETING: [Metric; 4] =
    [Metric::XidLastCode, Metric::ErrorLastCode, Metric::ProcessBlocked, Metric::DriverBlocked];
/// Beats up to which a gap is one that the quantity usually has, so that what flickers is told once.
const FLICKER: u16 = 120;
/// What every accelerator says in some combination; one value among them is an answer.
const MAIN: [Metric; 4] =
    [Metric::PowerInstant, Metric::Temperature, Metric::Utilization, Metric::MemoryUsed];

/// What is known of one quantity.
#[derive(Debug, Clone, Copy, Default)]
struct Gap {
    /// Seconds for which it was there.
    there_s: f32,
    /// Beats since it was there last, and the longest such gap.
    away: u16,
    longest: u16,
}

/// What is known of one device, by column.
#[derive(Debug, Clone, Default)]
pub(super) struct Vanished {
    gaps: Vec<Gap>,
    seen_s: f64,
}

impl Vanished {
    pub(super) fn bytes(&self) -> usize {
        self.gaps.capacity() * size_of::<Gap>()
    }

    pub(super) fn progress(&self, settings: &Settings) -> f64 {
        (self.seen_s / settings.vanish_learn_s).min(1.0)
    }

    pub(super) fn follow(
        &mut self,
        frame: &Frame,
        device: &Device,
        settings: &Settings,
        events: &mut EventSink,
    ) {
        if MAIN.iter().all(|metric| frame.value(device.id, *metric).is_none()) {
            return;
        }
        let columns = model::catalogue::columns(device.info.kind).len();
        self.gaps.resize(columns, Gap::default());
        self.seen_s = (self.seen_s + frame.lasted_s).min(1e9);
        let (mut most, mut count) = (None, 0);
        for ((metric, reading), gap) in frame.readings(device.id).zip(&mut self.gaps) {
            match reading.absence() {
                None => {
                    gap.there_s = (f64::from(gap.there_s) + frame.lasted_s).min(1e9) as f32;
                    // What is missed for long is no gap that it usually has.
                    let usual = gap.away < FLICKER;
                    gap.longest = if usual { gap.longest.max(gap.away) } else { gap.longest };
                    gap.away = 0;
                }
                // Late and lost are other rules'; what the operator disabled is wanted.
                Some(Absence::Late | Absence::Lost | Absence::Disabled) => {}
                Some(_) => {
                    gap.away = gap.away.saturating_add(1);
                    let wait = settings.vanish_beats + 2 * u32::from(gap.longest);
                    let long = f64::from(gap.there_s) >= settings.vanish_learn_s;
                    if long && u32::from(gap.away) >= wait && !FLEETING.contains(&metric) {
                        most = most.or(Some(metric));
                        count += 1;
                    }
                }
            }
        }
        let Some(metric) = most else { return };
        let evidence = Evidence { metric, observed: 0.0, expected: 1.0 };
        let found = finding(device.id, FaultKind::MetricVanished, Severity::Warning, f64::from(count));
        events.push(Finding { evidence: [Some(evidence), None, None, None], ..found });
    }
}
