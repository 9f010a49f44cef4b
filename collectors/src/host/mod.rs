//! The host: processors, memory, pressure, disks, network, control groups, heat and energy, from the kernel's own files.
pub mod cgroup;
pub mod cpu;
pub mod disk;
pub mod edac;
pub mod infiniband;
pub mod memory;
pub mod network;
pub mod perf;
pub mod pressure;
pub mod rapl;
pub mod space;
pub mod thermal;
