//! Doubt: a utilisation that "succeeds" with a constant is no utilisation.
//!
//! DCMI answers an unsupported type of utilisation with success and 0 or 100, and says that the AI cores are at rest while a
//! profiler has them (issues of ascend-npu-exporter; `rust.md` 2.1 of our facts). Power tells the difference: a device that was
//! seen to draw little and draws much more is not at rest, and one that draws as little as ever is not fully busy.
use model::Absence;

/// How much above the lowest power seen a device must draw not to be at rest, as a share of it. Ours.
const LOADED: f64 = 1.5;
/// Beats for which the contradiction must last. Ours: power is averaged and lags.
const BEATS: u32 = 5;

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Doubt {
    lowest_w: Option<f64>,
    beats: u32,
}

impl Doubt {
    /// Looks at one beat; the reason why the utilisation is not to be believed, if it is not.
    pub(super) fn judge(&mut self, power_w: Option<f64>, utilization: Option<f64>) -> Option<Absence> {
        let (power_w, utilization) = (power_w?, utilization?);
        let lowest_w = self.lowest_w.map_or(power_w, |lowest_w| lowest_w.min(power_w));
        self.lowest_w = Some(lowest_w);
        let loaded = lowest_w > 0.0 && power_w > LOADED * lowest_w;
        let contradicts = utilization == 0.0 && loaded;
        self.beats = if contradicts { self.beats.saturating_add(1) } else { 0 };
        (self.beats >= BEATS).then_some(Absence::Implausible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(beats: &[(f64, f64)]) -> Vec<bool> {
        let mut doubt = Doubt::default();
        beats.iter().map(|(power, busy)| doubt.judge(Some(*power), Some(*busy)).is_some()).collect()
    }

    #[test]
    fn a_device_that_draws_much_and_says_that_it_rests_is_not_believed_after_some_beats() {
        let mut beats = vec![(90.0, 0.0); 3];
        beats.extend([(300.0, 0.0); 8]);
        let told = judged(&beats);
        assert!(
            told[..7].iter().all(|doubted| !doubted) && told[7..].iter().all(|doubted| *doubted),
            "{told:?}"
        );
    }

    #[test]
    fn a_device_that_rests_or_works_is_believed() {
        assert!(judged(&[(90.0, 0.0); 50]).iter().all(|doubted| !doubted));
        assert!(judged(&[(300.0, 0.9); 50]).iter().all(|doubted| !doubted));
        let mut doubt = Doubt::default();
        assert_eq!((doubt.judge(None, Some(0.0)), doubt.judge(Some(300.0), None)), (None, None));
    }
}
