//! Tests of the Intel sources.
