//! Support shared by the whole-program tests.
