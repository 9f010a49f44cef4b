//! The actuator: sets power limits and reads back what is enforced, since an out-of-band limit may be tighter.
use super::codes::Fault;
use super::raw::Handle;
use super::session::{Gpu, Lease, Session};
use model::Knob;
use model::error::Cause;
use model::{ActuateError, Actuator, Calls, Order, Reason, Watts};
use std::sync::{Arc, Weak};

/// Sets power limits through NVML. Needs root or CAP_SYS_ADMIN.
#[derive(Debug)]
pub(super) struct NvmlActuator {
    lease: Lease,
    /// The library that the handles belong to.
    of: Weak<Session>,
    /// Handles by identity: the driver goes through all its devices to find one, which a brake has no time for.
    handles: Vec<(String, Handle)>,
}

impl NvmlActuator {
    pub(super) fn new(session: Session, calls: &Calls) -> Self {
        Self { lease: Lease::new(session, calls), of: Weak::new(), handles: Vec::new() }
    }

    /// The library, opened again where it was let go of. Handles of another one are forgotten.
    fn session(&mut self) -> Result<Arc<Session>, (Reason, Cause)> {
        let session = self.lease.session().map_err(|error| (error.reason, Cause::from(error)))?;
        if Weak::as_ptr(&self.of) != Arc::as_ptr(&session) {
            self.handles.clear();
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
                Err(fault) if fault.lost() || fault.doubtful() => drop(self.handles.swap_remove(place)),
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

fn failed(what: &str, key: &str) -> impl FnOnce((Reason, Cause)) -> ActuateError {
    move |(reason, cause)| ActuateError::new(format!("{what} the limit of {key}"), reason).because(cause)
}

impl Actuator for NvmlActuator {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        knob.only(Knob::PowerLimit, key)?;
        self.with(key, read).map(|limit| limit.0).map_err(failed("read", key))
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        order.knob().only(Knob::PowerLimit, order.key())?;
        let limit = Watts(order.value()).to_milliwatts();
        let set = |gpu: &Gpu<'_>| {
            let name = "nvmlDeviceSetPowerManagementLimit";
            gpu.during(name, || Ok(gpu.handle().device(gpu.nvml()).set_power_management_limit(limit)?))
        };
        self.with(order.key(), set).map_err(failed("set", order.key()))?;
        self.with(order.key(), read).map(|limit| limit.0).map_err(failed("read back", order.key()))
    }
}
