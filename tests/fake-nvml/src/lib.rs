//! A `libnvidia-ml.so.1` over the simulator, setters included, loaded by the production collector through its library path.
//!
//! As with a real driver, device state outlives the process that uses it: it lies in a file named by the environment
//! variable `WATTKEEPER_FAKE_NVML`, mapped by every process that loads the library. Without the variable each process has a
//! node of its own. [`Control`] steers load and faults from outside, and so does the program `fake-nvml-ctl`.
pub mod abi;
mod control;
pub mod device;
pub mod events;
pub mod setters;
pub mod strings;
mod world;

pub use control::Control;
