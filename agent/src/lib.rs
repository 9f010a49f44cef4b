//! The agent: wires rigs, stages and readers together. The only crate that knows the command line, HTTP and the clock.
pub mod actuate;
pub mod clock;
pub mod export;
pub mod publish;
pub mod serve;
