//! Curves over a restart: what was learnt of a device as plain numbers, and back. Moments are left out, since the clock begins anew: what
//! was refused may be tried again, and the best setting is compared again soon.
use super::curve::{BINS, Curve};
use super::{DEVICES_MAX, Dial, Efficiency, PHASES, Subject};
use model::DeviceId;

/// Numbers of one setting.
const OF_BIN: usize = 9;
/// Numbers of one device: for each phase its knob and its settings.
pub const NUMBERS: usize = PHASES.len() * (1 + BINS * OF_BIN);

fn dial(number: f64) -> Option<Dial> {
    [Dial::PowerLimit, Dial::Clock].into_iter().find(|dial| f64::from(*dial as u8) == number)
}

/// Takes curves from numbers.
fn curves(numbers: &[f64]) -> Result<[(Dial, Curve); PHASES.len()], &'static str> {
    if numbers.len() != NUMBERS {
        return Err("another length");
    }
    let mut curves = [(Dial::PowerLimit, Curve::default()); PHASES.len()];
    for ((known, curve), own) in curves.iter_mut().zip(numbers.chunks_exact(1 + BINS * OF_BIN)) {
        *known = dial(own[0]).ok_or("a knob that is none")?;
        for (bin, numbers) in curve.bins.iter_mut().zip(own[1..].chunks_exact(OF_BIN)) {
            let numbers: &[f64; OF_BIN] = numbers.try_into().map_err(|_| "another length")?;
            bin.take_back(numbers).ok_or("a number that cannot be")?;
        }
    }
    Ok(curves)
}

impl Efficiency {
    /// What was learnt of a device, as so many numbers; `None` where nothing was.
    pub fn kept(&self, device: DeviceId) -> Option<Vec<f64>> {
        let subject = self.subjects.get(&device)?;
        let mut numbers = Vec::with_capacity(NUMBERS);
        for (dial, curve) in &subject.curves {
            numbers.push(f64::from(*dial as u8));
            numbers.extend(curve.bins.iter().flat_map(super::curve::Bin::kept));
        }
        Some(numbers)
    }

    /// Takes back what an earlier run had learnt of a device.
    ///
    /// # Errors
    /// When the numbers make no sense, in words; it then learns anew.
    pub fn take_back(&mut self, device: DeviceId, numbers: &[f64], now_s: f64) -> Result<(), &'static str> {
        let curves = curves(numbers)?;
        if self.subjects.len() < DEVICES_MAX || self.subjects.contains_key(&device) {
            let wished = (Dial::PowerLimit, 0);
            self.subjects.insert(device, Subject { work: None, since_s: now_s, curves, wished });
        }
        Ok(())
    }
}

/// Whether numbers could be taken back.
///
/// # Errors
/// When they make no sense, in words.
pub fn check(numbers: &[f64]) -> Result<(), &'static str> {
    curves(numbers).map(|_| ())
}
