//! A node that does not exist: boards, workloads and faults in closed loop, stepped on a given clock from a seed.
//!
//! The engine's state is plain old data, so that a fake vendor library can keep it in a shared file and step it in place.
//! Nothing here reads a clock or draws from anything but the seed: the same seed and schedule give the same bytes.
#![forbid(unsafe_code)]

pub mod board;
pub mod fault;
pub mod held;
pub mod load;
pub mod node;
pub mod noise;
pub mod plant;
pub mod profile;
pub mod rig;
pub mod seats;
pub mod sensor;
pub mod story;
pub mod tenant;
pub mod wear;

#[cfg(test)]
mod tests;

pub use board::Board;
pub use fault::Fault;
pub use load::Workload;
pub use node::{BOARDS_MAX, Node};
pub use profile::Profile;
pub use seats::{SEATS_MAX, Seats};
pub use tenant::Tenant;
