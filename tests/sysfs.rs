//! Whole tests over a fake sysfs.
