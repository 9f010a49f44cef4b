//! Files and links of the tree.
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a text in place, in one call; what was longer before is filled up with line ends, so that a reader between two
/// calls never sees half of each.
pub(crate) fn put(path: &Path, text: &str) -> io::Result<()> {
    put_bytes(path, text.as_bytes(), b'\n')
}

/// Writes a table in place.
pub(crate) fn put_table(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_bytes(path, bytes, 0)
}

fn put_bytes(path: &Path, bytes: &[u8], fill: u8) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    // A file that a test has made very large, or that is of another kind, is not kept as long as it is.
    let before = usize::try_from(file.metadata()?.len()).unwrap_or(0).min(1 << 14);
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().max(before), fill);
    file.write_all(&whole)
}

/// Makes a link, in the place of one that may be there.
pub(crate) fn link(to: &Path, at: &Path) -> io::Result<()> {
    if let Some(folder) = at.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if at.symlink_metadata().is_ok() {
        std::fs::remove_file(at)?;
    }
    std::os::unix::fs::symlink(to, at)
}

/// The whole number in a file.
pub(crate) fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
