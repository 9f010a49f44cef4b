//! Interference: how much slower a workload is because of its neighbours.
pub mod placement;
