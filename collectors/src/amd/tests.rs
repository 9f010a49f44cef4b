//! Tests of the AMD source.
