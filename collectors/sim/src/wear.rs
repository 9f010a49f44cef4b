//! What a board has of its own: small differences of making, and what its faults have done to it so far.
use crate::fault::Fault;
use crate::noise::signed;

/// Boards of one product differ in power at equal clock by this share at most. An assumption: leakage differs from die to
/// die, and no vendor publishes by how much.
const POWER_SPREAD: f64 = 0.03;
/// Boards differ in thermal resistance by this share at most, and in the temperature of the air that reaches them by so many
/// celsius. Assumptions.
const HEAT_SPREAD: f64 = 0.05;
const INLET_SPREAD_C: f64 = 1.5;
/// Thermal resistance with a blocked cooler and with a badly seated one, over that of a sound one.
const BLOCKED: f64 = 2.0;
const BAD_SEAT: f64 = 1.35;
/// Share of the thermal resistance that a cooler which wears gains each second, and at most: a quarter a day. Real ones take weeks.
const CREEP_PER_S: f64 = 0.25 / 86_400.0;
const CREEP_MAX: f64 = 0.5;
/// How much hotter the air is on a board whose fan stands still, in celsius: its neighbours' fans do most of the work.
const FAN_OUT_C: f64 = 3.0;
/// Share of its work that a straggler gets done.
const STRAGGLES: f64 = 0.65;
/// Share of the highest clock at which a silent down-clock holds the board.
const DOWN_CLOCK: f64 = 0.75;
/// Share of its time that a board waits for a host whose processors a neighbour takes.
const STARVED: f64 = 0.45;
/// Share of its memory that a leak takes each second: a tenth in three quarters of an hour.
const LEAK_PER_S: f64 = 4e-5;
/// Quanta from one error to the next of a fault that counts errors: two a second, which is more PCIe replays than a link of
/// any generation should have (DCGM allows 31 a minute at 16 lanes of generation 5).
const ERROR_QUANTA: u64 = 50;
/// How long a call for the board takes, in seconds; what it takes at most; and what it takes longer each second when the
/// driver slows down.
const ANSWER_S: f64 = 0.003;
const ANSWER_MAX_S: f64 = 0.4;
const ANSWER_GROWS: f64 = 0.002;

/// The state, plain old data.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Wear {
    /// Dynamic power at equal clock over the product's.
    pub power_gain: f64,
    /// Thermal resistance over the product's.
    heat_gain: f64,
    /// Inlet air over the node's, in celsius.
    inlet_c: f64,
    /// What wear of the cooler adds to the thermal resistance, as a share.
    crept: f64,
    /// What a leak holds, as a share of memory.
    pub leaked: f64,
    /// How long a call for the board takes, in seconds.
    pub answer_s: f64,
    /// Errors on the links to other boards.
    pub link_errors: u64,
    /// Quanta since the work changed.
    pub work_quanta: u64,
}

impl Wear {
    /// A new board.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let draw = |number: u64| signed(seed, 2000 + stream, number);
        Self {
            power_gain: 1.0 + POWER_SPREAD * draw(0),
            heat_gain: 1.0 + HEAT_SPREAD * draw(1),
            inlet_c: INLET_SPREAD_C * draw(2),
            crept: 0.0,
            leaked: 0.0,
            answer_s: ANSWER_S,
            link_errors: 0,
            work_quanta: 0,
        }
    }

    /// Thermal resistance over the product's.
    pub(crate) fn heat(&self, has: impl Fn(Fault) -> bool) -> f64 {
        let blocked = if has(Fault::Cooler) { BLOCKED } else { 1.0 };
        let seat = if has(Fault::BadSeat) { BAD_SEAT } else { 1.0 };
        self.heat_gain * blocked * seat * (1.0 + self.crept)
    }

    /// Air that reaches the board over the node's, in celsius.
    pub(crate) fn inlet_c(&self, has: impl Fn(Fault) -> bool) -> f64 {
        self.inlet_c + if has(Fault::FanStop) { FAN_OUT_C } else { 0.0 }
    }

    /// Lets one quantum pass.
    pub(crate) fn step(&mut self, working: bool, quantum: u64, quantum_s: f64, has: impl Fn(Fault) -> bool) {
        self.work_quanta += 1;
        self.crept =
            if has(Fault::HeatCreep) { (self.crept + CREEP_PER_S * quantum_s).min(CREEP_MAX) } else { 0.0 };
        self.leaked = match (has(Fault::MemoryLeak), working) {
            (true, true) => (self.leaked + LEAK_PER_S * quantum_s).min(1.0),
            // What has leaked goes with the job.
            (_, false) => 0.0,
            (false, true) => self.leaked,
        };
        let slower = if has(Fault::SlowAnswers) { ANSWER_GROWS } else { -ANSWER_GROWS };
        self.answer_s = (self.answer_s + slower * quantum_s).clamp(ANSWER_S, ANSWER_MAX_S);
        self.link_errors += u64::from(has(Fault::LinkErrors) && quantum.is_multiple_of(ERROR_QUANTA));
    }

    /// How long the call of this moment takes, in seconds: a third more or less from call to call.
    pub(crate) fn call_s(&self, seed: u64, stream: u64, quantum: u64) -> f64 {
        self.answer_s * (1.0 + 0.3 * signed(seed, 3000 + stream, quantum))
    }
}

/// What faults leave of a board's work and clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Left {
    /// Share of the work that is done in the time it is busy.
    pub(crate) work: f64,
    /// Share of the time in which the host feeds it.
    pub(crate) fed: f64,
    /// Share of the highest clock.
    pub(crate) clock: f64,
}

impl Left {
    /// What is left with these faults.
    pub(crate) fn of(starved: bool, has: impl Fn(Fault) -> bool) -> Self {
        Self {
            work: if has(Fault::Straggler) { STRAGGLES } else { 1.0 },
            fed: if starved { 1.0 - STARVED } else { 1.0 },
            clock: if has(Fault::DownClock) { DOWN_CLOCK } else { 1.0 },
        }
    }
}

/// Whether an error of a fault that counts errors happens on this quantum.
pub(crate) fn errs(quantum: u64) -> bool {
    quantum.is_multiple_of(ERROR_QUANTA)
}
