//! Weighted sums over windows: what a covariance is made of, carried over when the scale of the channels moves.
use super::scale::{ROWS_MAX, Scale};

/// Windows that are added in one go, so that the large triangle is walked less often.
const BLOCK: usize = 4;

/// The sums. The second moments are a lower triangle, row by row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sums {
    width: usize,
    pub(super) weight: f64,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f32>,
    /// Windows that wait to be added, each times the root of its weight.
    waiting: Vec<f32>,
}

impl Sums {
    /// Nothing summed; windows have `width` values.
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            weight: 0.0,
            first: vec![0.0; width],
            second: vec![0.0; width * (width + 1) / 2],
            waiting: Vec::with_capacity(BLOCK * width),
        }
    }

    /// Values of a window.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Adds a window.
    pub(super) fn add(&mut self, window: &[f32], weight: f32) {
        self.weight += f64::from(weight);
        for (sum, value) in self.first.iter_mut().zip(window) {
            *sum += f64::from(weight * value);
        }
        let root = weight.sqrt();
        self.waiting.extend(window.iter().map(|value| root * value));
        if self.waiting.len() >= BLOCK * self.width {
            self.flush();
        }
    }

    /// Adds what waits to the triangle.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.waiting.resize(BLOCK * self.width, 0.0);
        let (one, rest) = self.waiting.split_at(self.width);
        let (two, rest) = rest.split_at(self.width);
        let (three, four) = rest.split_at(self.width);
        let mut begin = 0;
        for row in 0..self.width {
            let [a, b, c, d] = [one[row], two[row], three[row], four[row]];
            let line = &mut self.second[begin..=begin + row];
            let columns = one.iter().zip(two).zip(three).zip(four);
            for (sum, (((x, y), z), w)) in line.iter_mut().zip(columns) {
                *sum += a * x + b * y + c * z + d * w;
            }
            begin += row + 1;
        }
        self.waiting.clear();
    }

    /// Mean of the windows and their covariance, whole and symmetric; `None` without windows.
    pub(super) fn moments(&self) -> Option<(Vec<f64>, ndarray::Array2<f64>)> {
        let mut whole;
        let sums = if self.waiting.is_empty() {
            self
        } else {
            whole = self.clone();
            whole.flush();
            &whole
        };
        if sums.weight <= 0.0 {
            return None;
        }
        let mean: Vec<f64> = sums.first.iter().map(|sum| sum / sums.weight).collect();
        let mut covariance = ndarray::Array2::zeros((sums.width, sums.width));
        let mut place = 0;
        for row in 0..sums.width {
            for column in 0..=row {
                let value = f64::from(sums.second[place]) / sums.weight - mean[row] * mean[column];
                covariance[(row, column)] = value;
                covariance[(column, row)] = value;
                place += 1;
            }
        }
        Some((mean, covariance))
    }

    /// Carries the sums over to another scale of the channels.
    pub(super) fn transport(&mut self, from: &Scale, to: &Scale) {
        self.flush();
        let lags = super::LAGS.len();
        let steps: Vec<(f64, f64)> = from
            .steps(to)
            .flat_map(|(factor, shift)| std::iter::repeat_n((f64::from(factor), f64::from(shift)), lags))
            .collect();
        let scaled: Vec<f64> = self.first.iter().zip(&steps).map(|(sum, (factor, _))| sum * factor).collect();
        let mut place = 0;
        for row in 0..self.width {
            let (factor, shift) = steps[row];
            for column in 0..=row {
                let (other, lift) = steps[column];
                let value = f64::from(self.second[place]) * factor * other
                    + scaled[row] * lift
                    + shift * scaled[column]
                    + self.weight * shift * lift;
                // Narrowed to seven digits on purpose.
                self.second[place] = value as f32;
                place += 1;
            }
        }
        for ((sum, scaled), (_, shift)) in self.first.iter_mut().zip(scaled).zip(&steps) {
            *sum = scaled + self.weight * shift;
        }
    }

    /// Lets the past weigh no more than [`ROWS_MAX`].
    pub(super) fn cap(&mut self) {
        let factor = ROWS_MAX / self.weight;
        if factor < 1.0 {
            self.flush();
            self.weight *= factor;
            self.first.iter_mut().for_each(|sum| *sum *= factor);
            self.second.iter_mut().for_each(|sum| *sum *= factor as f32);
        }
    }

    /// Bytes of memory it holds.
    pub(super) fn bytes(&self) -> usize {
        self.first.capacity() * size_of::<f64>()
            + (self.second.capacity() + self.waiting.capacity()) * size_of::<f32>()
    }
}
