//! Where the kernel's file trees are: injectable, so that a fixture tree is read by the same code as the machine's own.
use std::path::{Path, PathBuf};

/// The roots of `/proc` and `/sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted; control groups are below it at `fs/cgroup`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys") }
    }
}

impl Roots {
    /// The roots of a fixture tree that holds `proc` and `sys`.
    pub fn below(tree: &Path) -> Self {
        Self { proc: tree.join("proc"), sys: tree.join("sys") }
    }
}
