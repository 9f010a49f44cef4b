//! Who is on a device: names of processes.
