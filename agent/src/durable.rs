//! Files that are replaced whole: a crash, a full disk or a torn write leaves the old one or the new one. And locks that keep
//! a second writer out.
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What could not be done, in words that a path follows.
#[derive(Debug)]
pub struct Failed {
    /// The step.
    pub operation: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// Puts parts on disk as one file: a draft beside it, synced, renamed over it, and its folder synced; returns when it is durable.
///
/// # Errors
/// When a step fails; before the renaming what was there is still there, and no draft is left.
pub fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), Failed> {
    let failed = |operation| move |source| Failed { operation, source };
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    let written = step(Step::Create).and_then(|()| File::create(&draft)).and_then(|mut file| {
        parts.iter().try_for_each(|part| write(&mut file, part))?;
        step(Step::Sync)?;
        file.sync_all()
    });
    let rename = || step(Step::Rename).and_then(|()| fs::rename(&draft, path));
    let renamed = written.map_err(failed("write")).and_then(|()| rename().map_err(failed("replace")));
    if renamed.is_err() && !dies() {
        // A part of a draft on a full disk is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    renamed?;
    let folder = || File::open(path.parent().unwrap_or(Path::new("/"))).and_then(|folder| folder.sync_all());
    step(Step::Folder).and_then(|()| folder()).map_err(failed("sync the directory of"))
}

/// A point at which a crash or a full disk ends a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    #[cfg(test)]
    Write,
    Sync,
    Rename,
    Folder,
}

#[cfg(not(test))]
fn step(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(not(test))]
fn dies() -> bool {
    false
}

#[cfg(not(test))]
fn write(file: &mut File, part: &[u8]) -> io::Result<()> {
    file.write_all(part)
}

#[cfg(test)]
pub(crate) use faults::{Fault, with};
#[cfg(test)]
use faults::{dies, step, write};

/// Faults for tests: the system refuses a step, or the process dies there.
#[cfg(test)]
mod faults {
    use super::*;
    use std::cell::Cell;

    /// What goes wrong at which step.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) struct Fault {
        pub(crate) step: Step,
        /// Bytes that are written before a write goes wrong.
        pub(crate) bytes: usize,
        /// Whether the process dies there, so that nothing is tidied up.
        pub(crate) dies: bool,
    }

    thread_local!(static FAULT: Cell<Option<Fault>> = const { Cell::new(None) });

    /// Does something while a fault is there.
    pub(crate) fn with<T>(fault: Fault, work: impl FnOnce() -> T) -> T {
        FAULT.set(Some(fault));
        let result = work();
        FAULT.set(None);
        result
    }

    pub(super) fn step(step: Step) -> io::Result<()> {
        match FAULT.get() {
            Some(fault) if fault.step == step => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn dies() -> bool {
        FAULT.get().is_some_and(|fault| fault.dies)
    }

    pub(super) fn write(file: &mut File, part: &[u8]) -> io::Result<()> {
        if let Some(fault) = FAULT.get().filter(|fault| fault.step == Step::Write) {
            file.write_all(&part[..fault.bytes.min(part.len())])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(part)
    }
}

/// Takes a lock, making its file and directory where they are missing; it is held while what is given back lives.
///
/// # Errors
/// When that cannot be done, with the step; `WouldBlock` when another process holds it.
pub fn hold(path: &Path) -> Result<File, Failed> {
    let failed = |operation| move |source| Failed { operation, source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed("make the directory of"))?;
    }
    let file = File::options().create(true).append(true).open(path).map_err(failed("open"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed("lock")(error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_draft() {
        let home = tempfile::tempdir().unwrap();
        let (path, draft) = (home.path().join("a.bin"), home.path().join("a.bin.draft"));
        replace(&path, &[b"ol", b"d"]).unwrap();
        std::os::unix::fs::symlink("/dev/full", &draft).unwrap();
        assert_eq!(replace(&path, &[b"new"]).unwrap_err().operation, "write");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!draft.exists());
        replace(&path, &[b"new"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
