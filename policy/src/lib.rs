//! Policy: what should be done about power, decided from readings alone, and the gate every order passes.
//!
//! [`PowerCap`] is the policy of the beat, [`reflex::Reflex`] the law between beats, [`guard::Guard`] the only way from a
//! decision to an order, [`ledger::Ledger`] the memory of what was set, and [`scale::signals`] what autoscalers read.
//! Pure and deterministic: no I/O, no threads, no clock. `DESIGN.md` says which method, why, and what it misses.
#![forbid(unsafe_code)]

pub mod attribution;
pub mod budget;
mod clocks;
mod cost;
pub mod drift;
pub mod efficiency;
pub mod fallback;
pub mod guard;
mod host;
pub mod ledger;
mod loosen;
pub mod powercap;
pub mod reflex;
mod remainder;
pub mod rise;
pub mod scale;
mod scene;
pub mod settings;
pub mod share;
mod tighten;

pub use powercap::PowerCap;
pub use settings::Settings;
