//! Accelerators: what a lower clock, for want of power or for heat, costs the work on them. Physics alone, where the work is judged.
//!
//! Time goes as 1 + b (f0 / f - 1) with the clock f, f0 of it alone, and b the share of the time that goes with the clock: all of it for
//! prompts; for training 0.26 at most as POLCA saw it (7 % at 1110 of 1410 MHz, arXiv 2308.12908), but all of it for work bound by
//! computing; for token generation 0 to 0.25 (1 to 6 % at very low clocks, arXiv 2501.08219). What is not known of b is in the interval.
use model::interference::{Abstention, Basis, Estimate, Interference, Judgement, Vector};
use model::{Device, DeviceId, Frame, Metric, Resource, Work};

/// The share of time that goes with the clock: estimate, most and least.
fn bound(work: Work) -> Option<(f64, f64, f64)> {
    match work {
        Work::Prefill => Some((1.0, 1.0, 0.9)),
        Work::Training => Some((0.26, 1.0, 0.0)),
        Work::Decode => Some((0.25, 0.25, 0.0)),
        Work::Idle | Work::Load | Work::HostBound => None,
    }
}

/// Works that are followed, by place.
const WORKS: [Work; 3] = [Work::Prefill, Work::Training, Work::Decode];
/// Over how many beats a clock is averaged: several iterations of training.
const BEATS: f64 = 10.0;
/// Beats of a work without a lowered limit before its clock alone is known.
const BEATS_NEEDED: u32 = 20;
/// How much of the clock alone is forgotten a beat, so that an old board's may fall: less than half a percent an hour.
const FORGET: f64 = 1e-6;
/// An enforced limit this far below the default is a cap, in watts.
const CAPPED_W: f64 = 1.0;

#[derive(Debug, Clone, Copy, Default)]
struct Board {
    generation: u32,
    /// The work of the last beat, and its mean clock since it began.
    work: Option<Work>,
    clock: f64,
    beats: u32,
    /// The highest mean clock without a cap, by place in [`WORKS`], and beats that it was looked for in.
    alone: [(f64, u32); WORKS.len()],
    latest: Option<Interference>,
}

/// All accelerators of a node. 136 bytes each.
#[derive(Debug, Default)]
pub(super) struct Boards(Vec<Board>);

impl Boards {
    pub(super) fn take(&mut self, frame: &Frame, floor: f64) {
        self.0.resize(frame.devices.len(), Board::default());
        for device in frame.devices.accelerators() {
            let board = &mut self.0[device.id.index()];
            if board.generation != device.generation {
                *board = Board { generation: device.generation, ..Board::default() };
            }
            board.latest = if device.gone { None } else { board.look(frame, device, floor) };
        }
    }

    pub(super) fn list(&self, list: &mut Vec<Interference>) {
        list.extend(self.0.iter().filter_map(|board| board.latest));
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Board>()
    }
}

/// Whether nothing is known to hold the clock down.
pub(super) fn is_free(frame: &Frame, device: DeviceId) -> bool {
    let (enforced, usual) =
        (frame.value(device, Metric::PowerLimitEnforced), frame.value(device, Metric::PowerLimitDefault));
    let held = [Metric::EventAppClocks, Metric::EventHwSlowdown];
    enforced.zip(usual).is_some_and(|(enforced, usual)| enforced >= usual - CAPPED_W)
        && !held.iter().any(|metric| frame.flag(device, *metric) == Some(true))
}

impl Board {
    /// `None` for a board whose work is not judged at all.
    fn look(&mut self, frame: &Frame, device: &Device, floor: f64) -> Option<Interference> {
        let state = frame.work(device.id)?;
        let judged = self.judge(frame, device.id, state.work, floor);
        let mut sensitivity = Vector::default();
        if let Some((share, ..)) = bound(state.work) {
            sensitivity.set(Resource::Power, share);
        }
        Some(Interference {
            device: device.id,
            judgement: judged.map_or_else(Judgement::Abstained, Judgement::Estimate),
            sensitivity,
            pressure: Vector::default(),
            counters: None,
        })
    }

    fn judge(
        &mut self,
        frame: &Frame,
        device: DeviceId,
        work: Work,
        floor: f64,
    ) -> Result<Estimate, Abstention> {
        let clock = frame.value(device, Metric::ClockSm).filter(|clock| *clock > 0.0);
        let begins = self.work != Some(work);
        self.work = Some(work);
        let Some((share, most, least)) = bound(work) else {
            return Err(if work == Work::Idle { Abstention::Idle } else { Abstention::Uncounted });
        };
        let clock = clock.ok_or(Abstention::Uncounted)?;
        if begins {
            (self.clock, self.beats) = (clock, 0);
        }
        self.beats = self.beats.saturating_add(1);
        self.clock += (clock - self.clock) / f64::from(self.beats).min(BEATS);
        if f64::from(self.beats) < BEATS {
            return Err(Abstention::Short);
        }
        let place = WORKS.iter().position(|known| *known == work).ok_or(Abstention::Uncounted)?;
        let (alone, beats) = &mut self.alone[place];
        if is_free(frame, device) {
            *beats = beats.saturating_add(1);
            *alone = (*alone * (1.0 - FORGET)).max(self.clock);
        }
        if *beats < BEATS_NEEDED {
            return Err(Abstention::NoProfile);
        }
        let slower = (*alone / self.clock - 1.0).max(0.0);
        let y = |share: f64| 1.0 / (1.0 + share * slower);
        Ok(Estimate {
            y: y(share),
            low: y(most),
            high: y(least),
            basis: Basis::Physics,
            resource: (y(share) < floor).then_some(Resource::Power),
            culprit: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, Reading, Timestamp, WorkState};
    use std::sync::Arc;
    use std::time::Duration;

    struct Bench {
        frame: Frame,
        gpu: DeviceId,
        boards: Boards,
    }

    impl Bench {
        fn new() -> Self {
            let mut frame = Frame::default();
            let info = Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
            let gpu = Arc::make_mut(&mut frame.devices).register(&info).unwrap();
            Self { frame, gpu, boards: Boards::default() }
        }

        fn beats(&mut self, count: u32, work: Work, clock: f64, limit_w: f64) -> Judgement {
            for _ in 0..count {
                let now = self.frame.at.after(Duration::from_secs(1));
                self.frame.begin(now);
                for (metric, value) in [
                    (Metric::ClockSm, clock),
                    (Metric::PowerLimitEnforced, limit_w),
                    (Metric::PowerLimitDefault, 700.0),
                ] {
                    self.frame.put(self.gpu, metric, Reading::Value(value));
                }
                let (device, since) = (self.gpu, Timestamp::default());
                self.frame.works.push(WorkState { device, work, confidence: 1.0, since });
                self.boards.take(&self.frame, 0.9);
            }
            let mut list = Vec::new();
            self.boards.list(&mut list);
            list[0].judgement
        }
    }

    fn estimate(judgement: Judgement) -> Estimate {
        match judgement {
            Judgement::Estimate(estimate) => estimate,
            Judgement::Abstained(why) => panic!("abstained: {}", why.as_str()),
        }
    }

    #[test]
    fn prompts_under_a_cap_are_as_slow_as_the_clock_and_power_is_named() {
        let mut bench = Bench::new();
        let alone = estimate(bench.beats(40, Work::Prefill, 2e9, 700.0));
        assert!(alone.y > 0.999 && alone.resource.is_none());
        let capped = estimate(bench.beats(60, Work::Prefill, 1.4e9, 350.0));
        assert!((capped.y - 0.7).abs() < 0.01 && capped.resource == Some(Resource::Power), "{capped:?}");
        assert!(capped.high < 0.8, "the interval knows it too: {capped:?}");
    }

    #[test]
    fn tokens_under_a_cap_lose_little_and_training_has_a_wide_interval() {
        let mut bench = Bench::new();
        bench.beats(40, Work::Decode, 2e9, 700.0);
        let decode = estimate(bench.beats(60, Work::Decode, 1.6e9, 350.0));
        assert!(decode.y > 0.9 && decode.resource.is_none(), "{decode:?}");
        bench.beats(40, Work::Training, 2e9, 700.0);
        let training = estimate(bench.beats(60, Work::Training, 1.6e9, 350.0));
        assert!(training.low < 0.85 && training.high > 0.99 && training.y > 0.9, "{training:?}");
    }

    #[test]
    fn a_board_that_was_never_seen_without_a_cap_has_no_profile_and_an_idle_one_is_idle() {
        let mut bench = Bench::new();
        assert_eq!(bench.beats(60, Work::Prefill, 1.4e9, 350.0), Judgement::Abstained(Abstention::NoProfile));
        assert_eq!(bench.beats(3, Work::Idle, 1.4e9, 350.0), Judgement::Abstained(Abstention::Idle));
        assert_eq!(bench.beats(3, Work::Prefill, 2e9, 700.0), Judgement::Abstained(Abstention::Short));
    }
}
