//! The actuator: sets power limits and reads back what is enforced, since an out-of-band limit may be tighter; locks clocks.
use super::clocks::{self, Locks};
use super::codes::Fault;
use super::raw::Handle;
use super::session::{Gpu, Lease, Session};
use model::error::Cause;
use model::{ActuateError, Actuator, Calls, Knob, Order, Reason, Span, Watts};
use std::sync::{Arc, Weak};

/// Sets power limits and locks clocks through NVML. Needs root or CAP_SYS_ADMIN.
#[derive(Debug)]
pub(super) struct NvmlActuator {
    lease: Lease,
    /// The library that the handles belong to.
    of: Weak<Session>,
    /// Handles by identity: the driver goes through all its devices to find one, which a brake has no time for.
    handles: Vec<(String, Handle)>,
    locks: Locks,
}

impl NvmlActuator {
    pub(super) fn new(session: Session, calls: &Calls) -> Self {
        let lease = Lease::new(session, calls);
        Self { lease, of: Weak::new(), handles: Vec::new(), locks: Locks::default() }
    }

    /// The library, opened again where it was let go of. Handles of another one are forgotten, and so are locks.
    fn session(&mut self) -> Result<Arc<Session>, (Reason, Cause)> {
        let session = self.lease.session().map_err(|error| (error.reason, Cause::from(error)))?;
        if Weak::as_ptr(&self.of) != Arc::as_ptr(&session) {
            self.handles.clear();
            self.locks.clear();
            self.of = Arc::downgrade(&session);
        }
        Ok(session)
    }

    /// Does something with a device. A handle that has become doubtful is looked for anew, once.
    fn with<T>(
        &mut self,
        key: &str,
        work: impl Fn(&Gpu<'_>) -> Result<T, Fault>,
    ) -> Result<T, (Reason, Cause)> {
        let session = self.session()?;
        let calls = self.lease.calls().clone();
        let failed = |fault: Fault| {
            if fault.library_gone() {
                session.confirm(&calls);
            }
            (fault.reason(), Cause::from(fault))
        };
        if let Some(place) = self.handles.iter().position(|(known, _)| known == key) {
            match work(&session.gpu(self.handles[place].1, &calls)) {
                Err(fault) if fault.lost() || fault.doubtful() => {
                    self.handles.swap_remove(place);
                    // What comes back may have been reset.
                    self.locks.forget(key);
                }
                done => return done.map_err(failed),
            }
        }
        let handle = session.find(key, &calls).map_err(failed)?;
        let done = work(&session.gpu(handle, &calls)).map_err(failed)?;
        self.handles.push((key.to_owned(), handle));
        Ok(done)
    }
}

/// The limit in force after every limiter: as field 190 of `nvml.h`.
fn read(gpu: &Gpu<'_>) -> Result<Watts, Fault> {
    let limit = gpu.call("nvmlDeviceGetEnforcedPowerLimit", |device| device.enforced_power_limit())?;
    Ok(Watts::from_milliwatts(limit))
}

/// The limit that was asked for in band: as field 192 of `nvml.h`.
fn requested(gpu: &Gpu<'_>) -> Result<Watts, Fault> {
    let limit = gpu.call("nvmlDeviceGetPowerManagementLimit", |device| device.power_management_limit())?;
    Ok(Watts::from_milliwatts(limit))
}

fn failed(what: &str, knob: Knob, key: &str) -> impl FnOnce((Reason, Cause)) -> ActuateError {
    move |(reason, cause)| {
        ActuateError::new(format!("{what} the {} of {key}", knob.as_str()), reason).because(cause)
    }
}

/// That a GPU has no quota.
fn none_of(knob: Knob, key: &str) -> ActuateError {
    ActuateError::new(format!("turn {} of {key}", knob.as_str()), Reason::Unsupported)
}

impl NvmlActuator {
    fn limit(&mut self, order: &Order) -> Result<f64, ActuateError> {
        let (knob, key) = (order.knob(), order.key());
        let limit = Watts(order.value()).to_milliwatts();
        let set = |gpu: &Gpu<'_>| {
            let name = "nvmlDeviceSetPowerManagementLimit";
            gpu.during(name, || Ok(gpu.handle().device(gpu.nvml()).set_power_management_limit(limit)?))
        };
        self.with(key, set).map_err(failed("set", knob, key))?;
        self.with(key, read).map(|limit| limit.0).map_err(failed("read back", knob, key))
    }

    fn lock(&mut self, order: &Order) -> Result<f64, ActuateError> {
        let (knob, key, hertz) = (order.knob(), order.key(), order.value());
        let held = self.with(key, |gpu| clocks::hold(gpu, hertz)).map_err(failed("set", knob, key))?;
        Ok(self.locks.note(key, held))
    }
}

impl Actuator for NvmlActuator {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        knob.only(Knob::ClockMax, key)?;
        self.with(key, clocks::lockable).map_err(failed("find what may be", knob, key))
    }

    /// The power limit is the driver's; the highest clock is the lock of ours that is still believed, else the highest.
    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        match knob {
            Knob::PowerLimit => self.with(key, read).map(|limit| limit.0).map_err(failed("read", knob, key)),
            Knob::ClockMax => {
                let look = |gpu: &Gpu<'_>| Ok((clocks::bounds(gpu)?, clocks::present(gpu).ok()));
                let (span, seen) = self.with(key, look).map_err(failed("read", knob, key))?;
                Ok(self.locks.look(key, seen).unwrap_or(span.max()))
            }
            Knob::CpuQuota => Err(none_of(knob, key)),
        }
    }

    fn requested(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        if knob != Knob::PowerLimit {
            return self.enforced(key, knob);
        }
        self.with(key, requested).map(|limit| limit.0).map_err(failed("read", knob, key))
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        match order.knob() {
            Knob::PowerLimit => self.limit(order),
            Knob::ClockMax => self.lock(order),
            Knob::CpuQuota => Err(none_of(order.knob(), order.key())),
        }
    }
}
