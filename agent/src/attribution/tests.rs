//! Tests of the attribution.
