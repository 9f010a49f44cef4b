//! Seats: the tenants of one board, and what each gets of what they share, quantum by quantum.
//!
//! *Without MPS* kernels of two processes never run at once: contexts take turns (CUDA MPS documentation, "When to use MPS"). A turn goes
//! to everybody who has kernels ready; who comes with an empty queue waits for the end of a running turn. *With MPS* kernels of
//! several processes run at once and share issue slots and the bandwidth of memory (the same; collisions at the warp scheduler:
//! arXiv 2501.16909). Always shared: the link to the host, power, heat and so the clock.
//!
//! Assumptions, since nobody publishes them: the length of a turn and what a change of turns costs; that issue slots, memory and the
//! link are shared in proportion to what each asks for; that the driver gives no utilisation of single processes under MPS.
use crate::board::QUANTUM_S;
use crate::load::Demand;
use crate::noise::signed;
use crate::tenant::{Need, Tenant, longer};

/// The most tenants of a board.
pub const SEATS_MAX: usize = 4;
/// Length of a turn, in seconds. An assumption: the driver's default is not published.
const TURN_S: f64 = 0.002;
/// What changing turns costs, as a share of kernels' time. An assumption.
const CHANGE: f64 = 0.02;
/// What kernels of another process cost at the warp scheduler where nothing else is short, with MPS. An assumption.
const COLLISION: f64 = 0.06;
/// Share of the time in which device memory can be active at most. An assumption: refresh and turnarounds take the rest.
const MEMORY_MAX: f64 = 0.92;
/// Share of the link's nominal rate that copies reach. An assumption: headers and flow control take the rest.
const LINK_SHARE: f64 = 0.85;
/// How much a tenant's pace wanders. An assumption.
const JITTER: f64 = 0.02;
/// How far a step goes towards the balance of all tenants, and how many steps are taken in a quantum.
const STEP: f64 = 0.5;
const STEPS: u32 = 4;

/// One tenant, plain old data.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Seat {
    /// The share of its full rate that it is asked for, 0 to 1.
    pub duty: f64,
    /// Work done so far, in seconds of what it takes alone at the highest clock.
    pub done_s: f64,
    /// Time spent on it, waiting included, in seconds.
    pub busy_s: f64,
    /// Share of the time in which its kernels run.
    pub engine: f64,
    /// Share of the time in which it has kernels ready or running, and copies.
    pending: [f64; 2],
    /// Code of the [`Tenant`].
    tenant: u32,
    /// Keeps the size a multiple of eight bytes.
    spare: u32,
}

impl Seat {
    /// Who sits there.
    pub fn tenant(&self) -> Tenant {
        Tenant::of(self.tenant)
    }

    /// Share of the time in which it has kernels ready or running.
    pub const fn ready(&self) -> f64 {
        self.pending[0]
    }
}

/// The tenants of a board, plain old data.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Seats {
    /// The seats; free ones have nobody.
    pub seats: [Seat; SEATS_MAX],
    /// 1 with MPS, 0 without.
    mps: u64,
}

/// What one tenant does at a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    /// Work a second, of its full rate alone.
    rate: f64,
    /// Time that a second of its work takes.
    takes: f64,
    /// Of that, in kernels, in kernels and waiting for a turn, and in copies.
    kernels: f64,
    ready: f64,
    copies: f64,
}

impl Seats {
    /// Whether anybody sits on the board.
    pub fn taken(&self) -> bool {
        self.seats.iter().any(|seat| seat.tenant != 0)
    }

    /// Whether kernels of several processes run at once.
    pub const fn mps(&self) -> bool {
        self.mps != 0
    }

    /// Starts or ends MPS.
    pub fn set_mps(&mut self, mps: bool) {
        self.mps = u64::from(mps);
    }

    /// Seats a tenant, or changes its duty; a seat beyond the last is ignored.
    pub fn seat(&mut self, place: usize, tenant: Tenant, duty: f64) {
        if let Some(seat) = self.seats.get_mut(place) {
            if seat.tenant != tenant.code() {
                *seat = Seat { tenant: tenant.code(), ..Seat::default() };
            }
            seat.duty = duty.clamp(0.0, 1.0);
        }
    }

    /// Frees every seat.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Lets a quantum pass at a share `clock` of the highest clock, on a link of so many bytes a second; gives what is asked of the
    /// board.
    pub(crate) fn step(&mut self, seed: u64, quantum: u64, clock: f64, link: f64) -> Demand {
        let clock = clock.clamp(0.05, 1.0);
        for _ in 0..STEPS {
            let before = *self;
            for (place, seat) in self.seats.iter_mut().enumerate().filter(|(_, seat)| seat.tenant != 0) {
                let pace = before.pace(place, clock);
                let due = [pace.rate * pace.ready, pace.rate * pace.copies];
                for (pending, due) in seat.pending.iter_mut().zip(due) {
                    *pending += STEP * (due.min(1.0) - *pending);
                }
            }
        }
        let before = *self;
        let mut sum = Sum::default();
        for (place, seat) in self.seats.iter_mut().enumerate().filter(|(_, seat)| seat.tenant != 0) {
            let jitter = 1.0 + JITTER * signed(seed, 10_000 + place as u64, quantum / 10);
            let (mut pace, full) = (before.pace(place, clock), before.pace(place, 1.0));
            pace.rate *= jitter;
            seat.done_s += pace.rate * QUANTUM_S;
            seat.busy_s += pace.rate * pace.takes * QUANTUM_S;
            seat.engine = (pace.rate * pace.kernels).min(1.0);
            sum.add(&Tenant::of(seat.tenant).need(), &pace, (full.rate * jitter, clock));
        }
        sum.demand(self.mps(), link * LINK_SHARE)
    }

    /// The others, each with what it needs.
    fn others(&self, place: usize) -> impl Iterator<Item = (&Seat, Need)> {
        let others = self.seats.iter().enumerate().filter(move |(other, _)| *other != place);
        others.filter(|(_, seat)| seat.tenant != 0).map(|(_, seat)| (seat, Tenant::of(seat.tenant).need()))
    }

    fn pace(&self, place: usize, clock: f64) -> Pace {
        let (seat, need) = (&self.seats[place], Tenant::of(self.seats[place].tenant).need());
        let alone = longer(need.compute, need.memory).max(1e-9);
        let asked = |need: &Need| [need.issue, need.memory / longer(need.compute, need.memory).max(1e-9)];
        let ready: f64 = self.others(place).map(|(other, _)| other.ready()).sum();
        let (kernels, ready) = if self.mps() {
            let mut load = [need.issue, need.memory / alone];
            for (other, its) in self.others(place) {
                let its = asked(&its);
                load.iter_mut().zip(its).for_each(|(load, asks)| *load += other.ready() * asks);
            }
            let [issue, memory] = load.map(|load| load.max(1.0));
            let kernels = longer(need.compute / clock * issue, need.memory * memory);
            let kernels = kernels * (1.0 + COLLISION * ready.min(1.0));
            (kernels, kernels)
        } else {
            let kernels = longer(need.compute / clock, need.memory) * (1.0 + CHANGE * ready.min(1.0));
            let waits = need.waits * 0.5 * TURN_S * ready.min(1.0);
            (kernels, kernels / turn(self.others(place).map(|(other, _)| other.ready())) + waits)
        };
        let copies = need.copy * (1.0 + self.others(place).map(|(other, _)| other.pending[1]).sum::<f64>());
        let takes = need.gap + ready + copies;
        let rate = if seat.duty >= 1.0 { 1.0 / takes } else { seat.duty.min(1.0 / takes) };
        Pace { rate, takes, kernels, ready, copies }
    }
}

/// The share of the engine that falls to somebody who has kernels ready, where others have some for these shares of the time: all who
/// have take turns.
fn turn(others: impl Iterator<Item = f64>) -> f64 {
    // How likely it is that so many others have kernels ready.
    let mut likely = [0.0; SEATS_MAX];
    likely[0] = 1.0;
    for share in others {
        for count in (0..SEATS_MAX).rev() {
            let fewer = if count > 0 { likely[count - 1] } else { 0.0 };
            likely[count] = likely[count] * (1.0 - share) + fewer * share;
        }
    }
    likely.iter().zip(1_u32..).map(|(likely, turns)| likely / f64::from(turns)).sum()
}

/// What all tenants ask of the board.
#[derive(Debug, Default)]
struct Sum {
    demand: [f64; 5],
    /// Time that kernels run, added up, and time in which none does.
    engine: f64,
    rest: f64,
    /// Multiprocessors at work, likewise.
    sm: f64,
    sm_rest: f64,
    begun: bool,
}

impl Sum {
    /// Adds a tenant with its pace, and its rate at the highest clock beside the clock as a share of it.
    fn add(&mut self, need: &Need, pace: &Pace, (full, clock): (f64, f64)) {
        if !self.begun {
            (self.rest, self.sm_rest, self.begun) = (1.0, 1.0, true);
        }
        let engine = (pace.rate * pace.kernels).min(1.0);
        let alone = longer(need.compute, need.memory);
        let parts = [
            need.power * full,
            need.memory * pace.rate * MEMORY_MAX,
            // Cycles of work over cycles that pass.
            need.tensor * alone * pace.rate / clock,
            need.copy * pace.rate,
            need.link * pace.rate,
        ];
        self.demand.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        self.engine += engine;
        self.rest *= 1.0 - engine;
        self.sm += need.sm * engine;
        self.sm_rest *= 1.0 - need.sm * engine;
    }

    fn demand(self, mps: bool, link: f64) -> Demand {
        let [power, memory, tensor, copy, links] = self.demand;
        let (busy, sm) = if mps { (1.0 - self.rest, 1.0 - self.sm_rest) } else { (self.engine, self.sm) };
        Demand {
            power: power.min(1.0),
            busy: busy.clamp(0.0, 1.0),
            memory: memory.min(MEMORY_MAX),
            resident: 0.1,
            tensor: tensor.min(1.0),
            host: copy.min(1.0) * link,
            link: links,
            sm: sm.clamp(0.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests;
