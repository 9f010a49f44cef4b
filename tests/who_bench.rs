//! What attribution costs.
fn main() {}
