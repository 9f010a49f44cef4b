//! Where the kernel's file trees are: injectable, so that a fixture tree is read by the same code as the machine's own.
use std::path::{Path, PathBuf};

/// The roots of `/proc`, `/sys` and `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted; control groups are below it at `fs/cgroup`.
    pub sys: PathBuf,
    /// Where device files are.
    pub dev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys"), dev: PathBuf::from("/dev") }
    }
}

impl Roots {
    /// The roots of a fixture tree that holds `proc`, `sys` and `dev`.
    pub fn below(tree: &Path) -> Self {
        Self { proc: tree.join("proc"), sys: tree.join("sys"), dev: tree.join("dev") }
    }
}
