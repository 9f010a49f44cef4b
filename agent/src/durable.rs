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
    let written = File::create(&draft).and_then(|mut file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    });
    let renamed =
        written.map_err(failed("write")).and_then(|()| fs::rename(&draft, path).map_err(failed("replace")));
    if renamed.is_err() {
        // A part of a draft on a full disk is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    renamed?;
    let folder = File::open(path.parent().unwrap_or(Path::new("/"))).and_then(|folder| folder.sync_all());
    folder.map_err(failed("sync the directory of"))
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
