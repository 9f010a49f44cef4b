//! A model as bytes, so that it can be kept over a restart. What can be made anew from the sums is left out.
use super::{Basis, CHANNELS_MAX, KEPT, LAGS, Level, Scale, Spread, Sums};
use crate::bytes::Reader;

/// Changes with every change of what follows, or of [`LAGS`].
const VERSION: u8 = 1;

impl Level {
    /// Appends the model.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(self.channels as u8);
        let (mean, spread) = self.scale.parts();
        let floats = |out: &mut Vec<u8>, list: &[f32]| list.iter().for_each(|v| out.extend(v.to_le_bytes()));
        let doubles = |out: &mut Vec<u8>, list: &[f64]| list.iter().for_each(|v| out.extend(v.to_le_bytes()));
        floats(out, mean);
        floats(out, spread);
        doubles(out, &[self.spread.weight]);
        doubles(out, &self.spread.first);
        doubles(out, &self.spread.second);
        floats(out, &self.spread.low);
        floats(out, &self.spread.high);
        let mut sums = self.sums.clone();
        sums.flush();
        doubles(out, &[sums.weight]);
        doubles(out, &sums.first);
        floats(out, &sums.second);
        floats(out, &self.usual);
    }

    /// Reads a model off the front of `bytes`; `None` when they are of another version or make no model.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [version, channels] = reader.take::<2>()?;
        let channels = usize::from(channels);
        if version != VERSION || !(2..=CHANNELS_MAX).contains(&channels) {
            return None;
        }
        let width = channels * LAGS.len();
        let scale = Scale::new(reader.floats(channels)?, reader.floats(channels)?);
        let spread = Spread {
            weight: reader.doubles(1)?[0],
            first: reader.doubles(channels)?,
            second: reader.doubles(channels)?,
            low: reader.floats(channels)?,
            high: reader.floats(channels)?,
        };
        let mut sums = Sums::new(width);
        sums.weight = reader.doubles(1)?[0];
        sums.first = reader.doubles(width)?;
        sums.second = reader.floats(width * (width + 1) / 2)?;
        let usual = reader.floats(2)?;
        if scale.parts().1.iter().any(|spread| *spread <= 0.0) || usual.iter().any(|usual| *usual <= 0.0) {
            return None;
        }
        let basis = Basis::of(&sums, channels)?;
        let recent = vec![0.0; KEPT * channels];
        Some(Self {
            channels,
            scale,
            spread,
            sums,
            basis,
            recent,
            filled: 0,
            next: 0,
            usual: [usual[0], usual[1]],
        })
    }
}
