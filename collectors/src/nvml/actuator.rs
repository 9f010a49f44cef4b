//! The actuator: sets power limits and reads back what is enforced, since an out-of-band limit may be tighter.
use super::codes::Fault;
use super::raw::Handle;
use super::session::Session;
use model::decision::Knob;
use model::{ActuateError, Actuator, Order, Watts};

/// Sets power limits through NVML. Needs root or CAP_SYS_ADMIN.
#[derive(Debug)]
pub(super) struct NvmlActuator {
    session: Session,
    /// Handles by identity: the driver goes through all its devices to find one, which a brake has no time for.
    handles: Vec<(String, Handle)>,
}

impl NvmlActuator {
    pub(super) fn new(session: Session) -> Self {
        Self { session, handles: Vec::new() }
    }

    /// Does something with a device. A handle that has become doubtful is looked for anew, once.
    fn with<T>(
        &mut self,
        key: &str,
        work: impl Fn(&Session, Handle) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if let Some(place) = self.handles.iter().position(|(known, _)| known == key) {
            match work(&self.session, self.handles[place].1) {
                Err(fault) if fault.lost() || fault.doubtful() => drop(self.handles.swap_remove(place)),
                done => return done,
            }
        }
        let handle = self.session.find(key)?;
        let done = work(&self.session, handle)?;
        self.handles.push((key.to_owned(), handle));
        Ok(done)
    }
}

/// The limit in force after every limiter: as field 190 of `nvml.h`.
fn read(session: &Session, handle: Handle) -> Result<Watts, Fault> {
    Ok(Watts::from_milliwatts(session.device(handle).enforced_power_limit()?))
}

fn failed(what: &str, key: &str) -> impl FnOnce(Fault) -> ActuateError {
    move |fault| ActuateError::new(format!("{what} the limit of {key}"), fault.reason()).because(fault)
}

impl Actuator for NvmlActuator {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn enforced(&mut self, key: &str) -> Result<Watts, ActuateError> {
        self.with(key, read).map_err(failed("read", key))
    }

    fn apply(&mut self, order: &Order) -> Result<Watts, ActuateError> {
        let Knob::PowerLimit = order.knob();
        let limit = order.limit().to_milliwatts();
        let set = |session: &Session, handle: Handle| {
            Ok(session.device(handle).set_power_management_limit(limit)?)
        };
        self.with(order.key(), set).map_err(failed("set", order.key()))?;
        self.with(order.key(), read).map_err(failed("read back", order.key()))
    }
}
