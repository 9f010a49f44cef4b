//! Policy: what should be done about power, decided from readings alone, and the gate every order passes.
//!
//! Pure and deterministic: no I/O, no threads, no clock. `DESIGN.md` says which method, why, and what it misses.
#![forbid(unsafe_code)]

pub mod budget;
pub mod guard;
pub mod ledger;
pub mod powercap;
pub mod reflex;
pub mod scale;
pub mod settings;
pub mod share;

pub use powercap::PowerCap;
pub use settings::Settings;
