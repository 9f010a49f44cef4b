//! Means that forget: what was there counts, what was not does not.

/// A mean of what was there, which forgets with time whether or not something is there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    /// Takes a value. `keep`: the weight that everything before still has, 0 to 1.
    pub(crate) fn take(&mut self, value: Option<f64>, keep: f64) {
        self.sum *= keep;
        self.weight *= keep;
        if let Some(value) = value {
            self.sum += value * (1.0 - keep);
            self.weight += 1.0 - keep;
        }
    }

    /// The mean, while at least a tenth of the window speaks for it.
    pub(crate) fn get(&self) -> Option<f64> {
        (self.weight > 0.1).then(|| self.sum / self.weight)
    }

    /// The mean, once two thirds of the window speak for it.
    pub(crate) fn full(&self) -> Option<f64> {
        (self.weight > 0.66).then(|| self.sum / self.weight)
    }

    /// The mean of however little there was; 0 of nothing.
    pub(crate) fn get_any(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    /// The share of the window that speaks for it.
    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    /// The weight that the past keeps over `seconds` with a window of `window_s`.
    pub(crate) fn keep(seconds: f64, window_s: f64) -> f64 {
        (-seconds / window_s).exp()
    }
}

/// The median of the first `count` numbers, which are put in order; `None` of none.
pub(crate) fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(numbers[middle]),
        _ => Some(0.5 * (numbers[middle - 1] + numbers[middle])),
    }
}
