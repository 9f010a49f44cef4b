//! One board in closed loop: limit and clocks act on power, power on heat, heat back on clocks.
use crate::fault::Fault;
use crate::load::{Demand, Workload};
use crate::noise::signed;
use crate::profile::Profile;
use crate::seats::Seats;
use crate::sensor::Sensor;
use crate::wear::{Left, Wear, errs};
use model::Watts;

/// The length of a quantum, in seconds. Everything happens in whole quanta.
pub const QUANTUM_S: f64 = 0.01;
/// Temperature of the air, in celsius.
const AMBIENT_C: f64 = 30.0;
/// Time constant of the die and its cooler, in seconds. An assumption.
const THERMAL_S: f64 = 8.0;
/// Time constant with which clock and limiter settle, in seconds; NVML's own settling time is not published.
pub(crate) const SETTLING_S: f64 = 0.05;
/// Dynamic power goes with this power of the clock: 1110 of 1410 MHz cut an A100's peak by 20 % (POLCA, arXiv 2308.12908),
/// which on the dynamic part alone is an exponent of 1.2.
pub(crate) const CLOCK_EXPONENT: f64 = 1.2;

/// The share of the highest clock at which work of `full_w` dynamic watts stays within `room_w`; 1 where it does anyway.
pub(crate) fn share_within(full_w: f64, room_w: f64) -> f64 {
    if full_w > room_w { (room_w.max(0.0) / full_w).powf(1.0 / CLOCK_EXPONENT) } else { 1.0 }
}

/// Bits of the clock event reasons, as NVML numbers them.
pub mod reason {
    /// Nothing to do.
    pub const IDLE: u64 = 0x1;
    /// The power limit binds.
    pub const SW_POWER_CAP: u64 = 0x4;
    /// The hardware slows down.
    pub const HW_SLOWDOWN: u64 = 0x8;
    /// The die is too hot.
    pub const HW_THERMAL: u64 = 0x40;
    /// An external brake is on.
    pub const HW_POWER_BRAKE: u64 = 0x80;
}

/// The state of a board, plain old data.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Board {
    /// The sensor.
    pub sensor: Sensor,
    /// The power limit that was asked for, in watts.
    pub requested_w: f64,
    /// A limit set out of band, in watts; the tighter of the two is enforced.
    pub out_of_band_w: f64,
    /// The limit that acts at this moment, in watts.
    acting_w: f64,
    /// Upper bound of the locked SM clock, in hertz; 0 when not locked.
    pub locked_hz: f64,
    /// SM clock, in hertz.
    pub clock_hz: f64,
    /// True power, in watts.
    pub power_w: f64,
    /// Energy since the driver was loaded, in joules: the integral of true power.
    pub energy_j: f64,
    /// Die temperature, in celsius.
    pub temperature_c: f64,
    /// Share of the highest clock that heat allows.
    thermal_share: f64,
    /// Share of time in which an engine is busy.
    pub busy: f64,
    /// Share of time in which device memory is read or written.
    pub memory_activity: f64,
    /// Share of cycles in which the matrix pipes work.
    pub tensor_active: f64,
    /// Share of cycles in which any multiprocessor works.
    pub sm_active: f64,
    /// Data moved to and from the host, and to and from other boards, in bytes per second each way.
    pub moved: [f64; 2],
    /// Whether the host keeps it waiting.
    pub starved: bool,
    /// What it has of its own.
    pub wear: Wear,
    /// Temperature of the room's air on this board, in celsius.
    air_c: f64,
    /// Device memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// Clock event reasons, as NVML numbers them.
    pub reasons: u64,
    /// Corrected and uncorrected ECC errors since the driver was loaded.
    pub ecc: [u64; 2],
    /// PCIe replays.
    pub replays: u64,
    /// XID errors so far, and the codes of the last 16.
    pub xids: u64,
    /// The codes, at position count mod 16.
    pub xid_codes: [u32; 16],
    /// Processes that share it; while there are any, they are its work.
    pub seats: Seats,
    /// Code of the workload.
    workload: u32,
    /// Bits of the faults.
    faults: u32,
    /// Code of the profile.
    profile: u32,
    /// The position on the node.
    pub index: u32,
}

impl Board {
    /// An idle, sound board.
    pub fn new(profile: &Profile, index: u32, seed: u64) -> Self {
        Self {
            sensor: Sensor::new(seed, u64::from(index), profile.idle_w),
            requested_w: profile.limit_max.0,
            out_of_band_w: profile.limit_max.0,
            acting_w: profile.limit_max.0,
            locked_hz: 0.0,
            clock_hz: profile.clock_min_hz,
            power_w: profile.idle_w,
            energy_j: 0.0,
            temperature_c: AMBIENT_C + profile.idle_w * profile.celsius_per_watt,
            thermal_share: 1.0,
            busy: 0.0,
            memory_activity: 0.0,
            tensor_active: 0.0,
            sm_active: 0.0,
            moved: [0.0; 2],
            starved: false,
            wear: Wear::new(seed, u64::from(index)),
            air_c: AMBIENT_C,
            memory_used_bytes: 0,
            reasons: reason::IDLE,
            ecc: [0; 2],
            replays: 0,
            xids: 0,
            xid_codes: [0; 16],
            seats: Seats::default(),
            workload: Workload::Idle.code(),
            faults: 0,
            profile: profile.code(),
            index,
        }
    }

    /// What is fixed about it.
    pub fn profile(&self) -> &'static Profile {
        Profile::of(self.profile)
    }

    /// What it is doing.
    pub fn workload(&self) -> Workload {
        Workload::of(self.workload)
    }

    /// Gives it work.
    pub fn set_workload(&mut self, workload: Workload) {
        if self.workload != workload.code() {
            self.workload = workload.code();
            self.wear.work_quanta = 0;
        }
    }

    /// Whether it has a fault.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    /// Puts a fault in.
    pub fn inject(&mut self, fault: Fault) {
        self.faults |= fault.bit();
    }

    /// Takes a fault out.
    pub fn heal(&mut self, fault: Fault) {
        self.faults &= !fault.bit();
    }

    /// Reports an XID error.
    pub fn xid(&mut self, code: u32) {
        self.xid_codes[(self.xids % 16) as usize] = code;
        self.xids += 1;
    }

    /// The limit in force after every limiter.
    pub fn enforced(&self) -> Watts {
        Watts(self.requested_w.min(self.out_of_band_w))
    }

    /// Asks for a power limit; `false` when it is out of range.
    pub fn set_power_limit(&mut self, limit: Watts) -> bool {
        let profile = self.profile();
        let inside = limit >= profile.limit_min && limit <= profile.limit_max;
        if inside {
            self.requested_w = limit.0;
        }
        inside
    }

    /// Temperature of the device memory, in celsius.
    pub fn memory_temperature_c(&self) -> f64 {
        self.temperature_c + 6.0 * self.memory_activity
    }

    /// PCIe lanes in use.
    pub fn pcie_lanes(&self) -> u32 {
        let lanes = self.profile().pcie_lanes;
        if self.has(Fault::PcieWidth) { lanes / 4 } else { lanes }
    }

    /// Nominal rate of the link to the host each way, in bytes a second: 0.985 GB a lane at generation 3, doubling with each
    /// (PCI Express Base Specification, 128b/130b).
    pub fn pcie_bytes(&self) -> f64 {
        0.985e9 * f64::from(self.pcie_lanes()) * f64::from(1_u32 << (self.profile().pcie_generation - 3))
    }

    /// Moves on by one quantum, which ends at quantum number `quantum`.
    pub fn step(&mut self, seed: u64, quantum: u64) {
        let lost = self.has(Fault::Lost);
        let workload = if lost { Workload::Idle } else { self.workload() };
        let demand = if self.seats.taken() && !lost {
            let clock = self.clock_hz / self.profile().clock_max_hz;
            self.seats.step(seed ^ u64::from(self.index), quantum, clock, self.pcie_bytes())
        } else {
            workload.demand(seed, u64::from(self.index), quantum * 10)
        };
        let noise = signed(seed, 5000 + u64::from(self.index), quantum / 10);
        self.air(seed, quantum);
        self.run(&demand, noise);
        self.heat();
        self.wear_on(quantum, demand.busy > 0.0);
        self.energy_j += self.power_w * QUANTUM_S;
        let stuck = self.has(Fault::StuckSensor);
        self.sensor.step(quantum, self.power_w, stuck);
    }

    /// The air of the room swings by a degree and a half over a day. An assumption.
    fn air(&mut self, seed: u64, quantum: u64) {
        if quantum.is_multiple_of(100) {
            let day = quantum as f64 / (86_400.0 / QUANTUM_S) + signed(seed, 6000, 0);
            self.air_c = AMBIENT_C + 1.5 * (std::f64::consts::TAU * day).sin();
        }
    }

    fn wear_on(&mut self, quantum: u64, working: bool) {
        let faults = self.faults;
        self.wear.step(working, quantum, QUANTUM_S, |fault| faults & fault.bit() != 0);
        if errs(quantum) {
            self.replays += u64::from(self.has(Fault::PcieReplays));
            self.ecc[0] += u64::from(self.has(Fault::EccCorrected));
        }
    }

    /// How long the driver takes to answer for it at this moment, in seconds.
    pub fn call_s(&self, seed: u64, quantum: u64) -> f64 {
        self.wear.call_s(seed, u64::from(self.index), quantum)
    }

    /// Settles clock and power for what is asked.
    fn run(&mut self, asked: &Demand, noise: f64) {
        let profile = self.profile();
        let left = Left::of(self.starved, |fault| self.has(fault));
        let share = left.work * left.fed;
        let demand = Demand { power: asked.power * share, busy: asked.busy * left.fed, ..*asked };
        let settle = QUANTUM_S / (QUANTUM_S + SETTLING_S);
        self.acting_w += (self.enforced().0 - self.acting_w) * settle;
        let gain = self.wear.power_gain;
        let full_w = (profile.full_w - profile.idle_w) * demand.power.clamp(0.0, 1.0) * gain;
        // At rest power still wanders by a percent.
        let idle_w = profile.idle_w * (1.0 + 0.01 * noise);
        let excess = if self.has(Fault::CapNotHeld) { 1.2 } else { 1.0 };
        let room_w = (self.acting_w * excess - idle_w).max(0.0);
        let by_power = share_within(full_w, room_w);
        let by_lock = if self.locked_hz > 0.0 { self.locked_hz / profile.clock_max_hz } else { 1.0 };
        let by_brake = if self.has(Fault::PowerBrake) { 0.0 } else { 1.0 };
        let lowest = profile.clock_min_hz / profile.clock_max_hz;
        let share = by_power.min(by_lock).min(by_brake).min(self.thermal_share).min(left.clock).max(lowest);
        let share = if demand.busy == 0.0 { lowest } else { share };
        self.clock_hz += (share * profile.clock_max_hz - self.clock_hz) * settle;
        // A limiter acts on the clock at once when it binds: power never waits for the clock's settling.
        let running = (self.clock_hz / profile.clock_max_hz).min(share);
        self.power_w = idle_w + full_w * running.powf(CLOCK_EXPONENT);
        self.fill(asked, &left, running);
        self.reasons = self.reasons_of(demand.busy == 0.0, by_power <= share && by_power < 1.0);
    }

    /// What the work does to engines, memory and buses.
    fn fill(&mut self, asked: &Demand, left: &Left, running: f64) {
        let share = left.work * left.fed;
        self.busy = asked.busy * left.fed;
        self.memory_activity = asked.memory * share;
        // Tenants say themselves what is left of their cycles at a lower clock.
        self.tensor_active = asked.tensor * share * if self.seats.taken() { 1.0 } else { running };
        self.sm_active = asked.sm * share;
        self.moved = [asked.host, asked.link].map(|rate| rate * share);
        // A job fills its memory over half a minute, and its allocator settles over some minutes more.
        let work_s = self.wear.work_quanta as f64 * QUANTUM_S;
        let filled = if self.workload() == Workload::Loading { (work_s / 30.0).min(1.0) } else { 1.0 };
        let settled = if asked.busy > 0.0 { 0.01 * (1.0 - (-work_s / 300.0).exp()) } else { 0.0 };
        let resident = (asked.resident * filled + settled + self.wear.leaked).min(0.985);
        // A share of a size in bytes: the fraction of a byte is of no interest.
        self.memory_used_bytes = (resident * self.profile().memory_bytes as f64) as u64;
    }

    fn reasons_of(&self, idle: bool, capped: bool) -> u64 {
        let when = |holds: bool, bit: u64| if holds { bit } else { 0 };
        let braked = self.has(Fault::PowerBrake);
        when(idle, reason::IDLE)
            | when(capped && !idle, reason::SW_POWER_CAP)
            | when(self.thermal_share < 0.999, reason::HW_THERMAL | reason::HW_SLOWDOWN)
            | when(braked, reason::HW_POWER_BRAKE | reason::HW_SLOWDOWN)
    }

    fn heat(&mut self) {
        let profile = self.profile();
        let rise = profile.celsius_per_watt * self.wear.heat(|fault| self.has(fault));
        let target_c = self.air_c + self.wear.inlet_c(|fault| self.has(fault)) + self.power_w * rise;
        self.temperature_c += (target_c - self.temperature_c) * QUANTUM_S / THERMAL_S;
        let step = if self.temperature_c > profile.slowdown_c { -0.004 } else { 0.000_5 };
        self.thermal_share = (self.thermal_share + step).clamp(0.2, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::H100;

    fn run(board: &mut Board, from: u64, seconds: u64) -> u64 {
        for quantum in from..from + seconds * 100 {
            board.step(1, quantum);
        }
        from + seconds * 100
    }

    #[test]
    fn a_lower_limit_lowers_power_and_clock() {
        let mut board = Board::new(&H100, 0, 1);
        board.set_workload(Workload::Training);
        let at = run(&mut board, 0, 2);
        let (power, clock) = (board.power_w, board.clock_hz);
        assert!(power > 600.0, "{power}");
        assert!(board.set_power_limit(Watts(350.0)));
        run(&mut board, at, 2);
        assert!(board.power_w <= 351.0 && board.clock_hz < clock, "{} W", board.power_w);
        assert_ne!(board.reasons & reason::SW_POWER_CAP, 0);
    }

    #[test]
    fn a_limit_does_nothing_to_decode() {
        let mut board = Board::new(&H100, 0, 1);
        board.set_workload(Workload::Decode);
        let at = run(&mut board, 0, 2);
        let power = board.power_w;
        assert!((137.0..300.0).contains(&power), "{power}");
        board.set_power_limit(Watts(350.0));
        run(&mut board, at, 2);
        assert!((board.power_w - power).abs() < 30.0);
    }

    #[test]
    fn a_limit_outside_the_range_is_refused() {
        let mut board = Board::new(&H100, 0, 1);
        assert!(!board.set_power_limit(Watts(100.0)) && !board.set_power_limit(Watts(800.0)));
        assert_eq!(board.enforced(), Watts(700.0));
    }

    #[test]
    fn a_blocked_cooler_ends_in_a_thermal_slowdown_that_holds_the_temperature() {
        let mut board = Board::new(&H100, 0, 1);
        board.set_workload(Workload::Training);
        board.inject(Fault::Cooler);
        run(&mut board, 0, 60);
        assert_ne!(board.reasons & reason::HW_THERMAL, 0);
        assert!(board.temperature_c < 92.0, "{}", board.temperature_c);
        assert!(board.clock_hz < 0.95 * H100.clock_max_hz);
    }

    #[test]
    fn energy_is_the_integral_of_true_power() {
        let mut board = Board::new(&H100, 0, 1);
        board.set_workload(Workload::Serving);
        let mut sum = 0.0;
        for quantum in 0..1000 {
            board.step(1, quantum);
            sum += board.power_w * QUANTUM_S;
        }
        assert!((board.energy_j - sum).abs() < 1e-6);
    }

    #[test]
    fn the_sensor_lags_and_errs_within_its_gain_and_a_stuck_one_repeats_itself() {
        let mut board = Board::new(&H100, 3, 1);
        let at = run(&mut board, 0, 2);
        board.set_workload(Workload::Decode);
        for quantum in at..at + 50 {
            board.step(1, quantum);
        }
        let lag = board.sensor.average_w();
        assert!(lag < 0.9 * board.power_w, "the average must lag: {lag} of {}", board.power_w);
        let at = run(&mut board, at + 50, 3);
        assert!((board.sensor.average_w() / board.power_w - 1.0).abs() < 0.15);
        board.inject(Fault::StuckSensor);
        let stuck = board.sensor.instant_w();
        board.set_workload(Workload::Training);
        run(&mut board, at, 2);
        assert_eq!(board.sensor.instant_w(), stuck);
    }
}
