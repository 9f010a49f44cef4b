//! Physics of sharing an accelerator: what turns at the engine, memory, the link to the host and the common clock do to a process.
//!
//! Time alone is 1 = kernels + copies + the host's. Beside others it is 1 + k (S C - 1) + p (P - 1): S turns, C the clock, P the link.
use super::alone::{Alone, Usual};
use super::sighting::{OTHERS_MAX, PRESENT, Sighting};
use model::Resource;
use model::interference::{Abstention, Basis, Estimate};

/// Steps towards who had kernels ready: near full use they are slow to get there.
const STEPS: u32 = 100;

/// Where physics ends and judgement begins. Ours, set while looking at one simulated data set; DESIGN.md has the figures of another one
/// beside it. None was ever held against a real board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Share of the nominal rate from which the link to the host is full: headers and flow control take the rest.
    pub link_full: f64,
    /// Share of cycles from which device memory is full: refresh and turnarounds take the rest.
    pub memory_full: f64,
    /// Share of cycles from which the multiprocessors may be short, with MPS.
    pub sm_full: f64,
    /// Share of memory alone below which kernels go with the clock, and above which they do not: token generation is at 0.8 and
    /// slows by 1 to 6 % at very low clocks (arXiv 2501.08219), computing goes all the way.
    pub bound: (f64, f64),
    /// How far the share that goes with the clock may be off.
    pub bound_off: f64,
    /// Noise of counters in whole percents over a beat, as a share of y.
    pub noise: f64,
    /// Share of the time from which others are in the way.
    pub pressing: f64,
    /// What kernels of another process cost at the warp scheduler where nothing is full, with MPS: some (arXiv 2501.16909), how much
    /// is an assumption.
    pub collision: f64,
    /// How much a drop of its own work beside others weighs against what turns and links explain: it may have been asked for less.
    pub trust: f64,
    /// The noise floor: resources are named below it.
    pub floor: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link_full: 0.75,
            memory_full: 0.75,
            sm_full: 0.9,
            bound: (0.4, 0.85),
            bound_off: 0.3,
            noise: 0.04,
            pressing: 0.1,
            collision: 0.1,
            trust: 0.5,
            floor: model::interference::NOISE_FLOOR,
        }
    }
}

/// What each resource does to the time of a process, as factors and shares.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Kernels' and copies' share of the time alone.
    kernels: f64,
    copies: f64,
    /// Turns, or what is shared while all run at once.
    turns: f64,
    memory: f64,
    link: f64,
    clock: f64,
}

impl Stretch {
    fn y(&self) -> f64 {
        let kernels = self.kernels * (self.turns * self.memory * self.clock - 1.0);
        1.0 / (1.0 + kernels + self.copies * (self.link - 1.0)).max(1.0)
    }

    /// The resource that explains most.
    fn most(&self) -> Resource {
        let shares = [
            (Resource::Compute, self.kernels * (self.turns - 1.0)),
            (Resource::MemoryBandwidth, self.kernels * (self.memory - 1.0)),
            (Resource::Pcie, self.copies * (self.link - 1.0)),
            (Resource::Power, self.kernels * (self.clock - 1.0)),
        ];
        let most = shares.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, share)| *share > 0.02);
        most.map_or(Resource::Unknown, |(resource, _)| resource)
    }
}

impl Limits {
    /// Judges a process by one beat.
    ///
    /// # Errors
    /// Why it cannot be judged.
    pub fn judge(&self, seen: &Sighting, alone: &Alone) -> Result<Estimate, Abstention> {
        let share = seen.share();
        if share.is_some_and(|share| share < PRESENT) {
            return Err(Abstention::Idle);
        }
        let (full, last) = alone.known().ok_or(Abstention::NoProfile)?;
        let clock = self.clock(seen, full, alone.clock);
        if seen.count == 0 {
            let stretch = |clock: f64| Stretch { clock, ..self.rest(full) };
            let [least, middle, most] = clock.map(|clock| stretch(clock).y());
            let named = stretch(clock[1]).most();
            return Ok(self.estimate(middle, [most, least], named));
        }
        if seen.mps { self.at_once(seen, full, last, clock) } else { self.in_turns(seen, full, last, clock) }
    }

    /// Its time alone with nothing in the way.
    fn rest(&self, full: &Usual) -> Stretch {
        let copies = if full.host.is_nan() { 0.0 } else { full.host / self.link_full };
        let kernels = full.own.min(1.0);
        Stretch {
            kernels,
            copies: copies.min(1.0 - kernels).max(0.0),
            turns: 1.0,
            memory: 1.0,
            link: 1.0,
            clock: 1.0,
        }
    }

    /// How much longer kernels take at this clock: least, estimate and most.
    fn clock(&self, seen: &Sighting, full: &Usual, alone: f64) -> [f64; 3] {
        let slower = seen.clock.map_or(0.0, |clock| (alone / clock - 1.0).max(0.0));
        let memory = if full.memory.is_nan() { None } else { Some(full.memory / full.own.max(PRESENT)) };
        let (none, all) = self.bound;
        let bound = memory.map_or(0.5, |memory| 1.0 - ((memory - none) / (all - none)).clamp(0.0, 1.0));
        let off = if memory.is_some() { self.bound_off } else { 0.5 };
        [bound - off, bound, bound + off].map(|bound| 1.0 + bound.clamp(0.0, 1.0) * slower)
    }

    /// Without MPS: turns by what each process had of the time.
    fn in_turns(
        &self,
        seen: &Sighting,
        full: &Usual,
        last: &Usual,
        clock: [f64; 3],
    ) -> Result<Estimate, Abstention> {
        let own = seen.own.ok_or(Abstention::Uncounted)?;
        let count = seen.count.min(OTHERS_MAX);
        let mut others = [0.0; OTHERS_MAX];
        for (share, told) in others.iter_mut().zip(&seen.others[..count]) {
            *share = told.ok_or(Abstention::Uncounted)?;
        }
        let (ready, pressing) = ready(own, &others[..count]);
        let did = (own / last.own).min(1.0);
        let rest = self.rest(full);
        let link = self.link(seen, full, own / full.own);
        let at = |clock: f64| Stretch { turns: ready / own, link, clock, ..rest };
        let [least, middle, most] = clock.map(|clock| at(clock).y());
        let pressed = pressing >= self.pressing || link > 1.0;
        // A drop of its own work that turns do not explain: small kernels wait for a turn to end, or less was asked of it.
        let drop =
            if pressed && did < middle { (did / middle).powf(self.trust * pressing.max(0.5)) } else { 1.0 };
        let low = if pressed { most.min(did) } else { most };
        Ok(self.estimate(middle * drop, [low, least], at(clock[1]).most()))
    }

    /// How much longer its copies take on a link that is full.
    fn link(&self, seen: &Sighting, full: &Usual, rate: f64) -> f64 {
        let (Some(host), false) = (seen.host, full.host.is_nan()) else { return 1.0 };
        let own = full.host * rate;
        if host < self.link_full || own <= 0.0 {
            return 1.0;
        }
        // Shared in proportion, and never slower than a fair share.
        (host / own).clamp(1.0, 1.0 + seen.count as f64)
    }

    /// With MPS: no driver says who did what, so only what the whole board shows.
    fn at_once(
        &self,
        seen: &Sighting,
        full: &Usual,
        last: &Usual,
        clock: [f64; 3],
    ) -> Result<Estimate, Abstention> {
        let (memory, sm) = (seen.memory.ok_or(Abstention::Uncounted)?, seen.sm.ok_or(Abstention::Uncounted)?);
        let rest = self.rest(full);
        let link_full = seen.host.is_some_and(|host| host >= self.link_full);
        let fair = 1.0 + seen.count as f64;
        let worst = 1.0 / fair;
        // What it alone does to a counter bounds it from above, as long as as much is asked of it. Kernels that are held up stay on the
        // board, so that a board less busy than it alone made it says that it is asked for less.
        let load = seen.busy.map_or(1.0, |busy| (busy / last.own).clamp(PRESENT, 1.0));
        let counters = [(seen.tensor, last.tensor), (seen.memory, last.memory), (seen.host, last.host)];
        let bound = counters.into_iter().filter(|(_, usual)| *usual >= 0.05);
        let bound = bound.filter_map(|(now, usual)| Some(now? / (usual * load))).fold(1.0, f64::min);
        let asks = full.memory / self.memory_full / rest.kernels.max(PRESENT);
        // What it fills by itself looks the same whoever else asks for it.
        let newly = |now: f64, usual: f64, full: f64| now >= full && usual < full;
        // The resource, and by how much it stretches: most, estimate, least.
        let (resource, factors) = if newly(memory, full.memory, self.memory_full) && asks >= 0.3 {
            // Others ask for at least what fills it up, and at most for all of it each.
            let (least, most) = ((memory / self.memory_full).max(1.0), asks.min(1.0) + seen.count as f64);
            (Resource::MemoryBandwidth, [most, 0.5 * (least + most), least])
        } else if last.tensor >= 0.05 && sm >= self.sm_full {
            (Resource::Compute, [fair, 1.0 / bound.max(worst), 1.0])
        } else if seen.host.is_some_and(|host| newly(host, full.host, self.link_full)) && rest.copies >= 0.1 {
            (Resource::Pcie, [fair, 0.5 * (1.0 + fair), 1.0])
        } else if sm < self.sm_full && memory < self.memory_full && !(link_full && rest.copies >= 0.1) {
            (Resource::Compute, [1.0 + self.collision, 1.0, 1.0])
        } else {
            return Err(Abstention::Uncounted);
        };
        let stretch = |factor: f64, clock: f64| match resource {
            Resource::MemoryBandwidth => Stretch { memory: factor, clock, ..rest },
            Resource::Pcie => Stretch { link: factor, clock, ..rest },
            _ => Stretch { turns: factor, clock, ..rest },
        };
        let [least, middle, most] = clock;
        let ends = [stretch(factors[0], most).y(), stretch(factors[2], least).y()];
        let middle = stretch(factors[1], middle);
        Ok(self.estimate(middle.y(), ends, middle.most()))
    }

    fn estimate(&self, y: f64, [low, high]: [f64; 2], named: Resource) -> Estimate {
        let y = y.clamp(0.01, 1.0);
        Estimate {
            y,
            low: (low.min(y) * (1.0 - self.noise)).clamp(0.005, 1.0),
            high: (high.max(y) * (1.0 + self.noise)).min(1.0),
            basis: Basis::Physics,
            resource: (y < self.floor).then_some(named),
            culprit: None,
        }
    }
}

/// For what share of the time a process had kernels ready, and for what share any other had, when these are the shares of time in
/// which kernels of each ran and all who have some take turns.
///
/// Who has kernels ready for a share w of the time meets the others independently: it runs for w times the mean of 1 / (1 + number of
/// others ready). Solved by going there in small steps.
pub(super) fn ready(own: f64, others: &[f64]) -> (f64, f64) {
    let count = others.len().min(OTHERS_MAX) + 1;
    let mut ran = [0.0; OTHERS_MAX + 1];
    ran[0] = own;
    ran[1..count].copy_from_slice(&others[..count - 1]);
    let mut ready = ran;
    for _ in 0..STEPS {
        let before = ready;
        for place in 0..count {
            let met = (0..count).filter(|other| *other != place).map(|other| before[other]);
            ready[place] = (ran[place] / turn(met)).min(1.0);
        }
    }
    let rest: f64 = ready[1..count].iter().map(|share| 1.0 - share).product();
    (ready[0], 1.0 - rest)
}

/// The mean of 1 / (1 + number of others ready).
fn turn(others: impl Iterator<Item = f64>) -> f64 {
    // How likely it is that so many others have kernels ready.
    let mut likely = [0.0; OTHERS_MAX + 1];
    likely[0] = 1.0;
    for share in others {
        for count in (0..likely.len()).rev() {
            let fewer = if count > 0 { likely[count - 1] } else { 0.0 };
            likely[count] = likely[count] * (1.0 - share) + fewer * share;
        }
    }
    likely.iter().zip(1_u32..).map(|(likely, turns)| likely / f64::from(turns)).sum()
}
