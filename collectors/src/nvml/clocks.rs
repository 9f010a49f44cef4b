//! Locked clocks: what a board's clock may be held to, and which locks of ours are still believed.
//!
//! NVML has no getter for locked clocks. What stands here is therefore what was set by this process and not disproved since:
//! a library that was loaded anew, a board that had to be looked for anew, and a clock that was seen above its lock twice each
//! end the belief, and the board then counts as free, which is the assumption that never hides a loose knob. Locks are lost
//! when the driver is reloaded and are not known after a restart of this process (`nvml.h`, nvmlDeviceSetGpuLockedClocks).
//! For the same reason a lock that somebody else set before us is not seen, and is gone once ours was set and freed.
use super::codes::Fault;
use super::session::Gpu;
use model::{Knob, Span};
use nvml_wrapper::enum_wrappers::device::{Clock, PerformanceState};
use nvml_wrapper::enums::device::{DeviceArchitecture, GpuLockedClocksSetting};

const MEGAHERTZ: f64 = 1e6;
/// Looks that must find the clock above its lock: one may fall into the time that a change takes, about 10 ms (Perseus,
/// arXiv 2312.06902).
const DOUBTS_MAX: u32 = 2;

/// The clocks that a board can be locked to, whole megahertz in hertz.
///
/// # Errors
/// `NOT_SUPPORTED` before Volta (`nvml.h`); else the fault of the call.
pub(super) fn lockable(gpu: &Gpu<'_>) -> Result<Span, Fault> {
    let architecture = gpu.call("nvmlDeviceGetArchitecture", |device| device.architecture());
    let before = [DeviceArchitecture::Kepler, DeviceArchitecture::Maxwell, DeviceArchitecture::Pascal];
    if architecture.is_ok_and(|architecture| before.contains(&architecture)) {
        return Err(Fault::NOT_SUPPORTED);
    }
    bounds(gpu)
}

/// The lowest and the highest clock at full performance.
///
/// # Errors
/// The fault of the call.
pub(super) fn bounds(gpu: &Gpu<'_>) -> Result<Span, Fault> {
    let full = gpu.call("nvmlDeviceGetMinMaxClockOfPState", |device| {
        device.min_max_clock_of_pstate(Clock::Graphics, PerformanceState::Zero)
    });
    let (lowest, highest) = match full {
        // A driver may lack the call, and a board the state.
        Err(fault) if fault.never() || fault == Fault::INVALID_ARGUMENT => listed(gpu)?,
        full => full?,
    };
    Span::new(f64::from(lowest) * MEGAHERTZ, f64::from(highest) * MEGAHERTZ).ok_or(Fault::UNREADABLE)
}

/// The same from the clocks that the driver lists for the highest memory clock.
fn listed(gpu: &Gpu<'_>) -> Result<(u32, u32), Fault> {
    let memory = gpu.call("nvmlDeviceGetSupportedMemoryClocks", |device| device.supported_memory_clocks())?;
    let memory = memory.into_iter().max().ok_or(Fault::NOT_SUPPORTED)?;
    let clocks =
        gpu.call("nvmlDeviceGetSupportedGraphicsClocks", |device| device.supported_graphics_clocks(memory))?;
    let ends = clocks.iter().min().zip(clocks.iter().max());
    ends.map(|(lowest, highest)| (*lowest, *highest)).ok_or(Fault::NOT_SUPPORTED)
}

/// The clock at which the board runs now, in hertz.
///
/// # Errors
/// The fault of the call.
pub(super) fn present(gpu: &Gpu<'_>) -> Result<f64, Fault> {
    Ok(f64::from(gpu.call("nvmlDeviceGetClockInfo", |device| device.clock_info(Clock::Graphics))?)
        * MEGAHERTZ)
}

/// Locks the clock to at most this, or unlocks it at the highest and beyond. Gives what then is in force.
///
/// Both bounds go in one call, as numbers, and the lower one is the board's own lowest: a pair that is valid whatever was
/// locked before, so that no order of writes is needed.
///
/// # Errors
/// The fault of the call.
pub(super) fn hold(gpu: &Gpu<'_>, hertz: f64) -> Result<Held, Fault> {
    let span = bounds(gpu)?;
    let mut device = gpu.handle().device(gpu.nvml());
    if hertz >= span.max() {
        gpu.during("nvmlDeviceResetGpuLockedClocks", || Ok(device.reset_gpu_locked_clocks()?))?;
        return Ok(Held::Free(span.max()));
    }
    // Downwards, so that what is set is never looser than what was ordered. In range, so the casts are exact.
    let max_clock_mhz = (span.clamp(hertz) / MEGAHERTZ).floor() as u32;
    let min_clock_mhz = ((span.min() / MEGAHERTZ) as u32).min(max_clock_mhz);
    let bounds = GpuLockedClocksSetting::Numeric { min_clock_mhz, max_clock_mhz };
    gpu.during("nvmlDeviceSetGpuLockedClocks", || Ok(device.set_gpu_locked_clocks(bounds)?))?;
    Ok(Held::Locked(f64::from(max_clock_mhz) * MEGAHERTZ))
}

/// What is in force after a write, in hertz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Held {
    /// No lock; the highest clock.
    Free(f64),
    /// A lock at this clock.
    Locked(f64),
}

/// One lock of ours.
#[derive(Debug)]
struct Lock {
    key: String,
    hertz: f64,
    doubts: u32,
}

/// Our locks by the identity of the board.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<Lock>);

impl Locks {
    /// Forgets every lock: the driver may be another one.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets the lock of one board.
    pub(super) fn forget(&mut self, key: &str) {
        self.0.retain(|lock| lock.key != key);
    }

    /// Remembers what was written; gives it in hertz.
    pub(super) fn note(&mut self, key: &str, held: Held) -> f64 {
        self.forget(key);
        match held {
            Held::Free(hertz) => hertz,
            Held::Locked(hertz) => {
                self.0.push(Lock { key: key.to_owned(), hertz, doubts: 0 });
                hertz
            }
        }
    }

    /// The lock that is believed, given the clock at which the board was just seen.
    pub(super) fn look(&mut self, key: &str, seen: Option<f64>) -> Option<f64> {
        let lock = self.0.iter_mut().find(|lock| lock.key == key)?;
        match seen {
            Some(clock) if clock > lock.hertz + Knob::ClockMax.slack() => lock.doubts += 1,
            Some(_) => lock.doubts = 0,
            None => {}
        }
        let (hertz, believed) = (lock.hertz, lock.doubts < DOUBTS_MAX);
        if !believed {
            self.forget(key);
        }
        believed.then_some(hertz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_believed_until_the_clock_was_seen_above_it_twice_in_a_row() {
        let mut locks = Locks::default();
        assert_eq!(locks.note("a", Held::Locked(1e9)), 1e9);
        for (seen, believed) in [
            (Some(1.4e9), Some(1e9)),
            (Some(0.9e9), Some(1e9)),
            (None, Some(1e9)),
            (Some(1.4e9), Some(1e9)),
            (None, Some(1e9)),
            (Some(1.4e9), None),
            (Some(0.9e9), None),
        ] {
            assert_eq!(locks.look("a", seen), believed, "{seen:?}");
        }
    }

    #[test]
    fn a_board_that_was_freed_has_no_lock_and_others_keep_theirs() {
        let mut locks = Locks::default();
        locks.note("a", Held::Locked(1e9));
        locks.note("b", Held::Locked(1.2e9));
        assert_eq!(locks.note("a", Held::Free(1.98e9)), 1.98e9);
        assert_eq!((locks.look("a", None), locks.look("b", None)), (None, Some(1.2e9)));
        locks.clear();
        assert_eq!(locks.look("b", None), None);
    }
}
