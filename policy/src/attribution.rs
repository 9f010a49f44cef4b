//! Attribution: how the power and energy of one accelerator are split over those who use it.
//!
//! # The rule
//!
//! An accelerator that does nothing draws its idle power; what it draws above that is dynamic.
//!
//! *Dynamic* power goes by measured activity: the share of compute time that the driver counted for a process, or for a
//! partition the activity of its engines times the part of the whole that it is. Where some are measured and others are
//! not, the others have what is left of the whole's own utilisation, and where that is not known either, the mean of the
//! measured ones. Where nobody is measured (a driver without accounts of processes, MPS clients of older drivers), or
//! nobody was active in the moment that was measured, it goes by device memory, and equally where memory is not known.
//!
//! *Idle* power goes equally to all who hold the accelerator or have a process there, since each of them keeps it from
//! being switched off; a partition carries as much of it as it is of the whole, and a partition that nobody has leaves
//! its part open.
//!
//! What nobody claims is unattributed. It is a part like any other, so that the parts add up to the whole.

/// Utilisation up to which an accelerator counts as idle. Ours: drivers round to whole percents.
pub const IDLE_BUSY_MAX: f64 = 0.01;
/// Idle power as a share of the largest power limit, for an accelerator that was never seen idle. An assumption, after the
/// 63 W that splitwise-sim (Patel et al., ISCA'24) gives an A100 of 400 W.
pub const IDLE_SHARE: f64 = 0.15;

/// An accelerator on one beat.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Whole {
    /// Its power, in watts.
    pub power_w: Option<f64>,
    /// The energy that it used since the beat before, in joules.
    pub energy_j: Option<f64>,
    /// The time since the beat before, in seconds.
    pub beat_s: f64,
    /// Its idle power, in watts.
    pub idle_w: f64,
    /// Its own utilisation, 0 to 1.
    pub utilization: Option<f64>,
}

/// What one workload has of an accelerator on one beat.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Claim {
    /// Share of the whole's compute time that it used, 0 to 1; `None` where nobody measured it.
    pub activity: Option<f64>,
    /// Device memory that it holds, in bytes; `None` where the driver does not say.
    pub memory_bytes: Option<f64>,
    /// Which part of the whole its partitions are, 0 to 1; `None` where it uses the accelerator undivided.
    pub slice: Option<f64>,
}

/// What falls to one claim, or to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Part {
    /// Power, in watts; `None` where the whole's is not known.
    pub power_w: Option<f64>,
    /// Energy since the beat before, in joules; 0 where the whole's is not known.
    pub energy_j: f64,
}

/// Splits one accelerator after the other; keeps its memory between them.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    dynamic: Vec<f64>,
    idle: Vec<f64>,
}

impl Splitter {
    /// Splits a whole over claims. `parts` becomes one part a claim, in their order, and one more for nobody; the parts add
    /// up to the whole, and none is negative. Numbers that are negative or not finite count as not known.
    pub fn split(&mut self, whole: &Whole, claims: &[Claim], parts: &mut Vec<Part>) {
        let (power, energy) = (known(whole.power_w), known(whole.energy_j));
        let mean = energy.filter(|_| whole.beat_s > 0.0).map(|energy| energy / whole.beat_s);
        dynamic(claims, known(whole.utilization), &mut self.dynamic);
        idle(claims, &mut self.idle);
        parts.clear();
        parts.resize(claims.len() + 1, Part::default());
        let mut left = (power.unwrap_or(0.0), energy.unwrap_or(0.0));
        let level = (resting(whole.idle_w, power), resting(whole.idle_w, mean.or(power)));
        for (place, part) in parts.iter_mut().take(claims.len()).enumerate() {
            let weight = |rest: f64| rest * self.idle[place] + (1.0 - rest) * self.dynamic[place];
            let watts = (weight(level.0) * power.unwrap_or(0.0)).min(left.0);
            let joules = (weight(level.1) * energy.unwrap_or(0.0)).min(left.1);
            left = (left.0 - watts, left.1 - joules);
            *part = Part { power_w: power.map(|_| watts), energy_j: joules };
        }
        if let Some(nobody) = parts.last_mut() {
            *nobody = Part { power_w: power.map(|_| left.0), energy_j: left.1 };
        }
    }
}

fn known(number: Option<f64>) -> Option<f64> {
    number.filter(|number| number.is_finite() && *number >= 0.0)
}

/// Which part of a power is idle power.
fn resting(idle_w: f64, level_w: Option<f64>) -> f64 {
    match (known(Some(idle_w)), level_w) {
        (Some(idle), Some(level)) if level > 0.0 => (idle / level).min(1.0),
        (Some(_), Some(_)) => 1.0,
        _ => 0.0,
    }
}

/// The weights of idle power: at most 1 in all.
fn idle(claims: &[Claim], weights: &mut Vec<f64>) {
    let slice = |claim: &Claim| known(claim.slice).map(|slice| slice.min(1.0));
    let sliced: f64 = claims.iter().filter_map(slice).sum();
    let undivided = claims.iter().filter(|claim| slice(claim).is_none()).count();
    // Counts of claims are small, so the conversion is exact.
    let equal = (1.0 - sliced).max(0.0) / undivided.max(1) as f64;
    weights.clear();
    weights.extend(claims.iter().map(|claim| slice(claim).map_or(equal, |slice| slice / sliced.max(1.0))));
}

/// The weights of dynamic power: 1 in all, unless nobody claims anything.
fn dynamic(claims: &[Claim], utilization: Option<f64>, weights: &mut Vec<f64>) {
    let activity = |claim: &Claim| known(claim.activity).map(|activity| activity.min(1.0));
    let measured: f64 = claims.iter().filter_map(activity).sum();
    let silent = claims.iter().filter(|claim| activity(claim).is_none()).count();
    let told = claims.len() - silent;
    let rest = match utilization {
        _ if silent == 0 => 0.0,
        Some(utilization) => (utilization.min(1.0) - measured).max(0.0),
        None if told == 0 => 1.0,
        None => measured / told as f64 * silent as f64,
    };
    let all = measured + rest;
    weights.clear();
    if all > 0.0 {
        let memory = Memory::of(claims.iter().filter(|claim| activity(claim).is_none()));
        let weight = |claim: &Claim| activity(claim).unwrap_or_else(|| rest * memory.share(claim));
        weights.extend(claims.iter().map(|claim| weight(claim) / all));
    } else {
        let memory = Memory::of(claims.iter());
        weights.extend(claims.iter().map(|claim| memory.share(claim)));
    }
}

/// The memory of several claims together.
struct Memory {
    count: usize,
    /// `None` where it is not known of all of them, or they hold nothing.
    bytes: Option<f64>,
}

impl Memory {
    fn of<'a>(claims: impl Iterator<Item = &'a Claim> + Clone) -> Self {
        let bytes: Option<f64> = claims.clone().map(|claim| known(claim.memory_bytes)).sum();
        Self { count: claims.count(), bytes: bytes.filter(|bytes| *bytes > 0.0 && bytes.is_finite()) }
    }

    fn share(&self, claim: &Claim) -> f64 {
        match (self.bytes, known(claim.memory_bytes)) {
            (Some(all), Some(own)) => own / all,
            _ => 1.0 / self.count.max(1) as f64,
        }
    }
}

/// The idle power of one accelerator, learned from what it draws while it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Idle {
    /// The lowest power seen while idle, in watts.
    pub lowest_w: Option<f64>,
}

impl Idle {
    /// Learns from one beat.
    pub fn observe(&mut self, power_w: Option<f64>, utilization: Option<f64>) {
        let idle = utilization.is_some_and(|utilization| utilization <= IDLE_BUSY_MAX);
        if let Some(power) = known(power_w).filter(|_| idle) {
            self.lowest_w = Some(self.lowest_w.map_or(power, |lowest| lowest.min(power)));
        }
    }

    /// The idle power, in watts: the lowest seen while idle, else [`IDLE_SHARE`] of the largest limit, else 0, which makes
    /// all power dynamic.
    pub fn level_w(&self, limit_w: Option<f64>) -> f64 {
        self.lowest_w.or_else(|| known(limit_w).map(|limit| IDLE_SHARE * limit)).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests;
