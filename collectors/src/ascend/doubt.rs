//! Whether a utilisation can be believed: DCMI gives a constant for types that a device lacks, and 0 while a profiler runs.
//!
//! Huawei's own exporter warns of both: an unsupported type succeeds with 0 or 100, and the AI-core utilisation reads 0 while
//! profiling is on. The rule is ours. A share of exactly 0 is doubted while power stands well above the least that was seen of
//! the device and the AI-core clock is not at rest; a share of exactly 100 % is doubted while every other share is 0 and power
//! is at rest. Either must hold for several beats, since power is a moment's and a share is a mean. A constant 0 of a type that
//! is really idle cannot be told from a true one.

/// Beats for which the contradiction must hold. Ours: DCMI's period of utilisation is a second.
const BEATS: u8 = 3;
/// Power that means work, against the least that was seen. Ours: the simulator's idle noise is a tenth of that distance.
const WORK: f64 = 1.5;
/// Power that means rest, against the least that was seen. Ours.
const REST: f64 = 1.1;
/// Share of the highest clock under which the clock is at rest. Ours.
const CLOCK_AT_REST: f64 = 0.5;

/// What one beat saw; `None` where it is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) power_w: Option<f64>,
    /// AI-core clock now, and the highest.
    pub(super) clock_hz: Option<f64>,
    pub(super) clock_max_hz: Option<f64>,
    pub(super) core: Option<f64>,
    pub(super) vector: Option<f64>,
    pub(super) bandwidth: Option<f64>,
}

/// Which shares of a beat are not believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    pub(super) core: bool,
    pub(super) vector: bool,
}

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    /// The least power that was seen, in watts.
    least_w: Option<f64>,
    core: u8,
    vector: u8,
}

impl Doubt {
    /// Looks at one beat.
    pub(super) fn judge(&mut self, seen: &Seen) -> Doubts {
        if let Some(power_w) = seen.power_w {
            self.least_w = Some(self.least_w.map_or(power_w, |least_w| least_w.min(power_w)));
        }
        let Some((power_w, least_w)) = seen.power_w.zip(self.least_w).filter(|(_, least_w)| *least_w > 0.0)
        else {
            (self.core, self.vector) = (0, 0);
            return Doubts::default();
        };
        let clock_rests =
            seen.clock_hz.zip(seen.clock_max_hz).is_some_and(|(now, max)| now < CLOCK_AT_REST * max);
        let works = power_w >= WORK * least_w && !clock_rests;
        let rests = power_w <= REST * least_w;
        let false_zero = works && seen.core == Some(0.0);
        let false_core = alone(rests, seen.core, [seen.vector, seen.bandwidth]);
        let false_vector = alone(rests, seen.vector, [seen.core, seen.bandwidth]);
        Doubts {
            core: held(&mut self.core, false_zero || false_core),
            vector: held(&mut self.vector, false_vector),
        }
    }
}

/// Whether a share is full while the device rests and all others that are known are 0.
fn alone(rests: bool, share: Option<f64>, others: [Option<f64>; 2]) -> bool {
    let some = others.iter().any(Option::is_some);
    rests && share == Some(1.0) && some && others.iter().flatten().all(|other| *other == 0.0)
}

/// Counts the beats on which a contradiction holds; whether there are enough.
fn held(beats: &mut u8, holds: bool) -> bool {
    *beats = if holds { beats.saturating_add(1) } else { 0 };
    *beats >= BEATS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(doubt: &mut Doubt, beats: usize, seen: &Seen) -> Doubts {
        (0..beats).map(|_| doubt.judge(seen)).last().unwrap()
    }

    const IDLE: Seen = Seen {
        power_w: Some(90.0),
        clock_hz: Some(1800e6),
        clock_max_hz: Some(1800e6),
        core: Some(0.0),
        vector: Some(0.0),
        bandwidth: Some(0.0),
    };

    #[test]
    fn nothing_used_at_the_power_of_work_is_doubted_after_some_beats() {
        let mut doubt = Doubt::default();
        assert_eq!(after(&mut doubt, 10, &IDLE), Doubts::default());
        let profiled = Seen { power_w: Some(300.0), ..IDLE };
        assert_eq!(after(&mut doubt, 2, &profiled), Doubts::default());
        assert!(after(&mut doubt, 1, &profiled).core);
        // A clock at rest, or a share that is not 0, takes the doubt away.
        assert!(!after(&mut doubt, 1, &Seen { clock_hz: Some(800e6), ..profiled }).core);
        assert!(!after(&mut doubt, 9, &Seen { core: Some(0.01), ..profiled }).core);
    }

    #[test]
    fn everything_used_at_rest_with_nothing_else_used_is_doubted() {
        let mut doubt = Doubt::default();
        assert!(after(&mut doubt, 3, &Seen { core: Some(1.0), ..IDLE }).core);
        let vector = Seen { vector: Some(1.0), ..IDLE };
        assert_eq!(after(&mut doubt, 3, &vector), Doubts { core: false, vector: true });
        assert!(!after(&mut doubt, 9, &Seen { core: Some(1.0), bandwidth: Some(0.3), ..IDLE }).core);
        assert!(!after(&mut doubt, 9, &Seen { core: Some(1.0), power_w: Some(300.0), ..IDLE }).core);
    }

    #[test]
    fn without_power_nothing_is_doubted() {
        let mut doubt = Doubt::default();
        assert_eq!(after(&mut doubt, 9, &Seen { power_w: None, core: Some(1.0), ..IDLE }), Doubts::default());
    }
}
