//! The axes along which windows usually move, and how far a window is from them.
use super::LAGS;
use super::scale::Scale;
use super::sums::Sums;
use linfa_linalg::eigh::{EigSort as _, EighInto as _};

/// Share of the variance that the main axes keep.
const VARIANCE: f64 = 0.9;
/// Added to every variance, as a share of their mean, so that directions without variance do not rule. That of the recipe
/// tried on SMD and ASD before; no other was compared here.
const RIDGE: f64 = 0.03;
/// Axes whose variance is below this share of the ridge are taken together: each adds what the ridge alone would.
const HEAD: f64 = 0.1;
/// The least usual residual of a channel, in squashed units.
const USUAL_FLOOR: f64 = 0.08;

/// The axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Basis {
    width: usize,
    centre: Vec<f32>,
    /// One row an axis, strongest first.
    axes: Vec<f32>,
    /// For each axis, what its square counts in B.
    weights: Vec<f32>,
    /// What the square of everything beside the axes counts in B.
    rest: f32,
    /// How many axes are main ones.
    main: usize,
    /// The root mean square residual of each channel beside the main axes.
    usual: Vec<f32>,
}

impl Basis {
    pub(super) fn empty() -> Self {
        Self::default()
    }

    /// The axes of what was summed; `None` when there is nothing or the decomposition fails.
    pub(super) fn of(sums: &Sums, channels: usize) -> Option<Self> {
        let (mean, covariance) = sums.moments()?;
        let width = sums.width();
        let (values, vectors) = covariance.eigh_into().ok()?.sort_eig_desc();
        let values: Vec<f64> = values.iter().map(|value| value.max(0.0)).collect();
        let whole: f64 = values.iter().sum();
        if !whole.is_finite() || whole <= 0.0 {
            return None;
        }
        let mut kept = 0.0;
        let main = values.iter().take_while(|value| {
            let more = kept < VARIANCE * whole;
            kept += **value;
            more
        });
        let main = main.count();
        let ridge = RIDGE * whole / width as f64;
        let head = values.iter().take_while(|value| **value >= HEAD * ridge).count().max(main);
        // B is 1 on the mean window.
        let norm: f64 = values.iter().map(|value| value / (value + ridge)).sum();
        let tail = values[head..].iter().sum::<f64>() / (width - head).max(1) as f64;
        let mut usual = vec![0.0_f64; channels];
        for (variance, axis) in values.iter().zip(vectors.columns()).skip(main) {
            for (place, value) in axis.iter().enumerate() {
                usual[place / LAGS.len()] += variance * value * value / LAGS.len() as f64;
            }
        }
        // Narrowed to seven digits on purpose, here and below.
        Some(Self {
            width,
            centre: mean.iter().map(|mean| *mean as f32).collect(),
            axes: (0..head)
                .flat_map(|axis| vectors.column(axis).to_vec())
                .map(|value| value as f32)
                .collect(),
            weights: values[..head].iter().map(|value| (1.0 / (value + ridge) / norm) as f32).collect(),
            rest: (1.0 / (tail + ridge) / norm) as f32,
            main,
            usual: usual.iter().map(|square| square.sqrt().max(USUAL_FLOOR) as f32).collect(),
        })
    }

    /// Whether it is for so many channels.
    pub(super) fn covers(&self, channels: usize) -> bool {
        self.width == channels * LAGS.len()
    }

    /// The mean of one place of the window.
    pub(super) fn centre(&self, place: usize) -> f32 {
        self.centre.get(place).copied().unwrap_or(0.0)
    }

    /// A and B of a window. Leaves in `rebuilt` what the main axes make of it, less the centre, and in `blame` each channel's residual.
    pub(super) fn distances(
        &self,
        window: &[f32],
        along: &mut Vec<f32>,
        rebuilt: &mut Vec<f32>,
        blame: &mut Vec<f32>,
    ) -> [f32; 2] {
        rebuilt.clear();
        rebuilt.resize(self.width, 0.0);
        along.clear();
        // Centred in `along`, for the window itself may be learnt afterwards.
        along.extend(window.iter().zip(&self.centre).map(|(value, centre)| value - centre));
        let (mut inside, mut b) = (0.0, 0.0);
        for (axis, weight) in self.weights.iter().enumerate() {
            let line = &self.axes[axis * self.width..(axis + 1) * self.width];
            let step = dot(line, along);
            b += weight * step * step;
            inside += step * step;
            if axis < self.main {
                rebuilt.iter_mut().zip(line).for_each(|(sum, value)| *sum += step * value);
            }
        }
        b += self.rest * (dot(along, along) - inside).max(0.0);
        blame.clear();
        let lags = LAGS.len();
        blame.extend(along.chunks_exact(lags).zip(rebuilt.chunks_exact(lags)).zip(&self.usual).map(
            |((seen, made), usual)| {
                let squares: f32 = seen.iter().zip(made).map(|(seen, made)| (seen - made).powi(2)).sum();
                (squares / lags as f32).sqrt() / usual
            },
        ));
        let a = (blame.iter().map(|blame| blame * blame).sum::<f32>() / blame.len().max(1) as f32).sqrt();
        [a, b.max(0.0).sqrt()]
    }

    /// Follows the channels to another scale until the next fit: the centre exactly, the axes as they are.
    pub(super) fn transport(&mut self, from: &Scale, to: &Scale) {
        let steps: Vec<(f32, f32)> = from.steps(to).collect();
        for (place, centre) in self.centre.iter_mut().enumerate() {
            let (factor, shift) = steps[place / LAGS.len()];
            *centre = factor * *centre + shift;
        }
    }

    /// Bytes of memory it holds.
    pub(super) fn bytes(&self) -> usize {
        (self.axes.capacity() + self.centre.capacity() + 2 * self.weights.capacity()) * size_of::<f32>()
    }
}

/// Eight sums side by side, which a compiler makes vectors of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f32>() + rest
}
