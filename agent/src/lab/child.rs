//! A part of a lab as a process of its own, as whoever started it holds it.
use super::LabError;
use super::part::Steering;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process of the lab; killed when dropped.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) child: Child,
    pub(super) steering: Steering,
}

impl Part {
    /// Starts a part in a folder, which is made, for so many seconds at most; what it is to do is added to its command.
    ///
    /// # Errors
    /// When the folder, the files in it or the process cannot be made.
    pub(super) fn start(
        folder: &Path,
        seconds: u64,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Self, LabError> {
        let failed = |what: &'static str| move |error: io::Error| LabError::io(what, error);
        fs::create_dir_all(folder).map_err(failed("make a folder for a part"))?;
        for name in ["steer", "done"] {
            let _ = fs::remove_file(folder.join(name));
        }
        let steering = Steering::open(folder, seconds).map_err(failed("make the lab's files"))?;
        let program = std::env::current_exe().map_err(failed("find this program"))?;
        let mut command = Command::new(program);
        command.arg("lab-part").arg("--folder").arg(folder).args(["--seconds", &seconds.to_string()]);
        arguments(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self { child: command.spawn().map_err(failed("start a part"))?, steering })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
