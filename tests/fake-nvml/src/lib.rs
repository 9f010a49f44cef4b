//! A `libnvidia-ml.so.1` over the simulator, setters included, loaded by the production collector through its library path.
//!
//! As with a real driver, device state outlives the process that uses it: it lies in a file named by the environment
//! variable `WATTKEEPER_FAKE_NVML`, mapped by every process that loads the library. Without the variable each process has a
//! node of its own. [`Control`] steers load, faults and time from outside, and so does the program `fake-nvml-ctl`.
//!
//! Cargo puts the library beside the test executables, `target/<profile>/deps/libfake_nvml.so`, whenever it builds a test of a
//! crate that depends on this one; `cargo build` also links that file to `target/<profile>/libfake_nvml.so`, which a later
//! `cargo test` alone leaves as it was.
pub mod abi;
pub mod clocks;
mod control;
pub mod device;
pub mod engines;
pub mod events;
pub mod extra;
pub mod fields;
pub mod gpm;
pub mod handles;
pub mod links;
pub mod mig;
mod more;
pub mod near;
pub mod processes;
pub mod setters;
mod steer;
pub mod strings;
mod time;
mod world;

#[cfg(test)]
mod tests;

pub use control::Control;
pub use world::Group;
