//! Heat at equal power over days: moments of temperature and power by the hour, those of now against those of then.
use crate::draw::Draw;
use crate::keep::{Reader, Writer};
use crate::mean::Mean;
use model::{DeviceId, Evidence, Frame, Metric};

/// Blocks that are remembered: eight weeks of twelve hours.
const BLOCKS: usize = 112;
const BLOCK_S: f64 = 43_200.0;
/// The newest blocks are now; a block between is left out.
const NOW: usize = 2;
/// Blocks of then that must be there.
const THEN_MIN: usize = 4;
/// Time constant with which a die follows its power, in seconds. An assumption.
const LAG_S: f64 = 12.0;
/// Seconds from one sample to the next.
const SAMPLE_S: f64 = 10.0;
/// Samples that a block must have.
const SAMPLES_MIN: f64 = 200.0;

/// Sums of one block: count, power, temperature, power squared, power by temperature.
type Sums = [f64; 5];

/// What is known of one device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Creep {
    device: Option<DeviceId>,
    blocks: [Sums; BLOCKS],
    count: usize,
    present: Sums,
    passed_s: f64,
    since_s: f64,
    draw: Draw,
    lagged: Mean,
    /// The drift, reckoned when a block ends.
    drift: Option<(f64, Evidence)>,
}

impl Default for Creep {
    fn default() -> Self {
        Self {
            device: None,
            blocks: [[0.0; 5]; BLOCKS],
            count: 0,
            present: [0.0; 5],
            passed_s: 0.0,
            since_s: 0.0,
            draw: Draw::default(),
            lagged: Mean::default(),
            drift: None,
        }
    }
}

fn add(one: Sums, other: &Sums) -> Sums {
    std::array::from_fn(|place| one[place] + other[place])
}

/// Covariance sums within a block: of power with itself and with temperature.
fn within([n, p, t, pp, pt]: Sums) -> (f64, f64) {
    if n > 0.0 { (pp - p * p / n, pt - p * t / n) } else { (0.0, 0.0) }
}

impl Creep {
    pub(super) fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// How much hotter it is now than then at equal power, in celsius, with now's temperature and then's as evidence.
    pub(super) fn drift(&self) -> Option<(f64, Evidence)> {
        self.drift
    }

    pub(super) fn follow(&mut self, frame: &Frame, device: DeviceId) {
        self.device = Some(device);
        let beat_s = frame.beat_s.clamp(0.0, 60.0);
        let value = |metric| frame.value(device, metric);
        let limit_w = value(Metric::PowerLimitDefault).or(value(Metric::PowerLimitMax));
        let power = self.draw.follow(frame, device, limit_w);
        self.lagged.take(power, Mean::keep(beat_s, LAG_S));
        self.passed_s += beat_s;
        self.since_s += beat_s;
        if self.since_s >= SAMPLE_S {
            self.since_s = 0.0;
            if let Some((p, t)) = self.lagged.full().zip(value(Metric::Temperature)) {
                self.present = add(self.present, &[1.0, p, t, p * p, p * t]);
            }
        }
        if self.passed_s >= BLOCK_S {
            self.passed_s = 0.0;
            if self.count == BLOCKS {
                self.blocks.copy_within(1.., 0);
                self.count -= 1;
            }
            self.blocks[self.count] = std::mem::take(&mut self.present);
            self.count += 1;
            self.drift = self.reckon();
        }
    }

    fn reckon(&self) -> Option<(f64, Evidence)> {
        let blocks = &self.blocks[..self.count];
        let (then, now) = blocks.split_at_checked(blocks.len().checked_sub(NOW)?)?;
        let then = then.split_last()?.1;
        let then = &then[..then.len().min(2 * THEN_MIN)];
        let enough = |block: &&Sums| block[0] >= SAMPLES_MIN;
        if then.iter().filter(enough).count() < THEN_MIN || now.iter().filter(enough).count() < NOW {
            return None;
        }
        let sum = |blocks: &[Sums]| blocks.iter().fold([0.0; 5], add);
        let spread =
            blocks.iter().map(|block| within(*block)).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        // Power that never moves tells no slope, and then means at equal power need none.
        let slope = if spread.0 > 0.0 { (spread.1 / spread.0).clamp(0.0, 1.0) } else { 0.0 };
        let mean = |[n, p, t, ..]: Sums| (p / n, t / n);
        let ((p_now, t_now), (p_then, t_then)) = (mean(sum(now)), mean(sum(then)));
        let expected = t_then + slope * (p_now - p_then);
        Some((t_now - expected, Evidence { metric: Metric::Temperature, observed: t_now, expected }))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.number(self.count as f64);
        self.blocks[..self.count].iter().flatten().for_each(|number| writer.number(*number));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let count = reader.number()?;
        if !(0.0..=BLOCKS as f64).contains(&count) {
            return Err("no count of blocks");
        }
        let mut creep = Self { count: count as usize, ..Self::default() };
        for block in &mut creep.blocks[..count as usize] {
            for number in block {
                *number = reader.number()?;
            }
        }
        Ok(creep)
    }
}
