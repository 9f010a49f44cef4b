//! Energy: what engines use for each token, and `wattkeeper energy`, the report by accelerator, pod and day.
pub mod meter;
