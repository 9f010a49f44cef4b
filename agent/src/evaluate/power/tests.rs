//! A short form of the comparison.
use super::*;
