//! Load on a disk: a file without a name, written over and over, block by block to the medium.
use crate::bounds::{DISK_MAX, WRITTEN_MAX};
use crate::pace::Pace;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes written before they are flushed to the medium.
const BLOCK: usize = 4 << 20;
/// Bytes a second at intensity 1.
const RATE: f64 = (256 << 20) as f64;

/// Writes in `folder`; the intensity is the share of [`RATE`]. Gives the bytes written.
///
/// The file has no name at any time (`O_TMPFILE`), so the kernel takes it away however the run ends.
pub(crate) fn write(pace: Pace, intensity: f64, folder: &Path) -> std::io::Result<u64> {
    let file = tempfile::tempfile_in(folder)?;
    let blocks = DISK_MAX / BLOCK as u64;
    let mut block = vec![0_u8; BLOCK];
    let mut written = 0;
    while pace.goes_on() && written < WRITTEN_MAX {
        pace.due(written, RATE * intensity);
        let number = written / BLOCK as u64;
        // Blocks differ, in case the file system or the medium saves itself the work.
        block.chunks_mut(512).for_each(|sector| sector[..8].copy_from_slice(&number.to_le_bytes()));
        file.write_all_at(&block, number % blocks * BLOCK as u64)?;
        file.sync_data()?;
        written += BLOCK as u64;
    }
    pace.sit_out();
    Ok(written)
}
