//! What holds the clock down, from the bits or from the residencies of a `gpu_metrics` table.
use super::table::Table;
use model::{Batch, Metric, Slot, Timestamp};

/// Bits of `SMU_THROTTLER_*` in `amdgpu_smu.h`: package power limits are 0 to 7, limits of current 16 to 23, temperatures
/// 32 to 43, hot regulators 44 and 45, a hot processor 46 and 47.
const POWER: u64 = 0xff;
const CURRENT: u64 = 0xff << 16;
const HEAT: u64 = 0xfff << 32;
const REGULATOR: u64 = 0b11 << 44;
const PROCESSOR: u64 = 0b11 << 46;

/// Residencies of the last beat and the time that they add up to.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Option<(Timestamp, [u32; 6])>,
    power_s: f64,
    heat_s: f64,
    flags: Option<Flags>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    power: bool,
    heat: bool,
    hardware: bool,
    hot: bool,
}

impl Flags {
    fn of_bits(bits: u64) -> Self {
        let hot = bits & (REGULATOR | PROCESSOR) != 0;
        Self { power: bits & POWER != 0, heat: bits & HEAT != 0, hardware: hot || bits & CURRENT != 0, hot }
    }

    fn tell(self, slot: Slot, batch: &mut Batch) {
        batch.flag(slot, Metric::EventSwPowerCap, self.power);
        batch.flag(slot, Metric::EventSwThermal, self.heat);
        batch.flag(slot, Metric::EventHwSlowdown, self.hardware);
        batch.flag(slot, Metric::EventHwThermal, self.hot);
    }
}

impl Throttle {
    /// Puts what the table says into the batch.
    pub(super) fn read(&mut self, table: &Table<'_>, now: Timestamp, slot: Slot, batch: &mut Batch) {
        if let Some(bits) = table.throttle() {
            Flags::of_bits(bits).tell(slot, batch);
        }
        let Some(ticks) = table.residency() else { return };
        if let Some((then, before)) = self.last.replace((now, ticks)) {
            self.advance(now.seconds_since(then), before, ticks);
        }
        let Some(flags) = self.flags else { return };
        flags.tell(slot, batch);
        batch.set(slot, Metric::ViolationPower, self.power_s);
        batch.set(slot, Metric::ViolationThermal, self.heat_s);
    }

    /// Firmware counts ticks and, of these, those in which a limiter acted; the share of ticks is a share of the time.
    fn advance(&mut self, seconds: f64, before: [u32; 6], ticks: [u32; 6]) {
        let grown: [u32; 6] = std::array::from_fn(|n| ticks[n].wrapping_sub(before[n]));
        let all = grown[0];
        // A table that was not renewed says nothing new. After a reset of the counters nothing is known of the time between.
        if all == 0 {
            return;
        }
        if grown.iter().any(|ticks| *ticks > u32::MAX / 2) {
            self.flags = Some(Flags::default());
            return;
        }
        let share = |ticks: u32| (f64::from(ticks) / f64::from(all)).min(1.0);
        let [_, processor, power, socket, regulators, memory] = grown;
        let heat = socket.max(regulators).max(memory);
        self.power_s += share(power) * seconds;
        self.heat_s += share(heat) * seconds;
        self.flags =
            Some(Flags { power: power > 0, heat: heat > 0, hardware: processor > 0, hot: processor > 0 });
    }
}
