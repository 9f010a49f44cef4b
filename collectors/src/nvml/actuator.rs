//! The actuator: sets power limits and reads back what is enforced, since an out-of-band limit may be tighter.
use super::codes::reason;
use super::session::Session;
use model::{ActuateError, Actuator, Order, Watts};
use nvml_wrapper::error::NvmlError;
use std::sync::Arc;

/// Sets power limits through NVML. Needs root or CAP_SYS_ADMIN.
pub(super) struct NvmlActuator {
    session: Arc<Session>,
}

impl NvmlActuator {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }

    fn read(&self, key: &str) -> Result<Watts, NvmlError> {
        let handle = self.session.find(key)?;
        self.session.device(handle).enforced_power_limit().map(Watts::from_milliwatts)
    }

    fn write(&self, key: &str, limit: Watts) -> Result<(), NvmlError> {
        let handle = self.session.find(key)?;
        self.session.device(handle).set_power_management_limit(limit.to_milliwatts())
    }
}

impl Actuator for NvmlActuator {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn enforced(&mut self, key: &str) -> Result<Watts, ActuateError> {
        let failed =
            |error| ActuateError::new(format!("read the limit of {key}"), reason(&error)).because(error);
        self.read(key).map_err(failed)
    }

    fn apply(&mut self, order: &Order) -> Result<Watts, ActuateError> {
        let key = order.key();
        let failed =
            |error| ActuateError::new(format!("set the limit of {key}"), reason(&error)).because(error);
        self.write(key, order.limit()).map_err(failed)?;
        self.enforced(key)
    }
}
