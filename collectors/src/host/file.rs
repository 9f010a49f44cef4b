//! Kernel files that are kept open and read again from their beginning, into a buffer that is reused.
use model::{Absence, Batch, Metric, Reading, Slot};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a file that are read at most; the rest is cut.
const LENGTH_MAX: usize = 1 << 20;

/// A file that is read on every beat.
#[derive(Debug)]
pub(in crate::host) struct Kept {
    path: PathBuf,
    file: Option<File>,
    /// Whether it was ever there.
    met: bool,
    bytes: Vec<u8>,
}

impl Kept {
    /// A file that is opened when it is first read.
    pub(in crate::host) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None, met: false, bytes: Vec::new() }
    }

    /// The same, if the file can be read now.
    pub(in crate::host) fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let mut kept = Self::new(path);
        kept.text()?;
        Ok(kept)
    }

    /// The whole text. After an error the file is opened anew the next time.
    pub(in crate::host) fn text(&mut self) -> io::Result<&str> {
        let length = self.fill().inspect_err(|_| self.file = None)?;
        std::str::from_utf8(&self.bytes[..length])
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// The whole text of a file that has to be opened for every reading.
    pub(in crate::host) fn anew(&mut self) -> io::Result<&str> {
        self.file = None;
        self.text()
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.file.is_none() {
            self.file = Some(File::open(&self.path).map_err(|error| self.vanished(error))?);
            self.met = true;
        }
        let Some(file) = &self.file else { return Ok(0) };
        let mut length = 0;
        loop {
            if length == self.bytes.len() {
                if length >= LENGTH_MAX {
                    return Ok(length);
                }
                self.bytes.resize((2 * length).max(512), 0);
            }
            match file.read_at(&mut self.bytes[length..], length as u64) {
                Ok(0) => return Ok(length),
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What was there and is gone is lost, which is not the same as never having been there.
    fn vanished(&self, error: io::Error) -> io::Error {
        let gone = self.met && error.kind() == ErrorKind::NotFound;
        if gone { io::Error::from_raw_os_error(libc::ENODEV) } else { error }
    }

    /// Whether the last reading found the file.
    pub(in crate::host) fn there(&self) -> bool {
        self.file.is_some()
    }

    /// The number that the file holds.
    pub(in crate::host) fn number(&mut self) -> io::Result<f64> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| io::Error::new(ErrorKind::InvalidData, "not a number"))
    }
}

/// A reading that changes seldom or costs much to take: given again between the beats that take it.
#[derive(Debug)]
pub(in crate::host) struct Seldom {
    reading: Reading,
    beats: u32,
}

impl Seldom {
    /// Beats from one taking to the next.
    const EVERY: u32 = 30;

    /// Nothing yet: the first call takes it.
    pub(in crate::host) fn new() -> Self {
        Self { reading: Reading::Absent(Absence::Unsupported), beats: 0 }
    }

    /// The reading; `now`: take it on this beat whether or not it is due.
    pub(in crate::host) fn get(&mut self, now: bool, take: impl FnOnce() -> Reading) -> Reading {
        if now || self.beats == 0 {
            self.reading = take();
            self.beats = Self::EVERY;
        }
        self.beats -= 1;
        self.reading
    }
}

/// A file that holds one metric of one device.
#[derive(Debug)]
pub(in crate::host) struct Gauge {
    metric: Metric,
    file: Kept,
    scale: f64,
}

impl Gauge {
    /// `scale`: what the file's number is multiplied with to be in base units.
    pub(in crate::host) fn new(metric: Metric, path: impl Into<PathBuf>, scale: f64) -> Self {
        Self { metric, file: Kept::new(path), scale }
    }

    /// The same, if the file is there.
    pub(in crate::host) fn found(metric: Metric, path: PathBuf, scale: f64) -> Option<Self> {
        path.exists().then(|| Self::new(metric, path, scale))
    }

    /// Reads it into the batch, or the reason why it cannot be read.
    pub(in crate::host) fn read(&mut self, slot: Slot, batch: &mut Batch) {
        match self.file.number() {
            Ok(number) => batch.set(slot, self.metric, number * self.scale),
            Err(error) => batch.absent(slot, self.metric, absence(&error)),
        }
    }
}

/// A device that is nothing but files with one metric each.
#[derive(Debug)]
pub(in crate::host) struct Gauges {
    /// The device.
    pub(in crate::host) slot: Slot,
    /// Its files.
    pub(in crate::host) files: Vec<Gauge>,
}

impl Gauges {
    /// Reads every file.
    pub(in crate::host) fn read(&mut self, batch: &mut Batch) {
        self.files.iter_mut().for_each(|file| file.read(self.slot, batch));
    }
}

/// Why a value is absent. A file that is not there is something that the host does not have.
pub(in crate::host) fn absence(error: &io::Error) -> Absence {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Unsupported => Absence::Unsupported,
        ErrorKind::PermissionDenied => Absence::Denied,
        ErrorKind::InvalidData => Absence::Implausible,
        // An interface that is down has no speed, a sensor that is off no value: EINVAL, ENODATA, EOPNOTSUPP.
        ErrorKind::InvalidInput => Absence::Unsupported,
        _ if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Absence::Unsupported,
        _ => Absence::Lost,
    }
}

/// The names in a folder that pass, sorted; a folder that is not there is empty.
pub(in crate::host) fn names(folder: &Path, pass: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pass(name))
        .collect();
    names.sort();
    names
}

/// The number behind a prefix: 7 in `cpu7`; `None` where something else follows.
pub(in crate::host) fn numbered(name: &str, prefix: &str) -> Option<usize> {
    let digits = name.strip_prefix(prefix)?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A small file read once, trimmed; empty when it cannot be read.
pub(in crate::host) fn word(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_never_there_is_unsupported_and_one_that_went_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let mut kept = Kept::new(home.path().join("value"));
        assert_eq!(absence(&kept.number().unwrap_err()), Absence::Unsupported);
        std::fs::write(home.path().join("value"), "7\n").unwrap();
        assert_eq!(kept.number().unwrap(), 7.0);
        std::fs::remove_file(home.path().join("value")).unwrap();
        // The kernel answers ENODEV on the open file of a device that went; an ordinary file has to be closed.
        kept.file = None;
        assert_eq!(absence(&kept.number().unwrap_err()), Absence::Lost);
    }

    #[test]
    fn every_error_of_a_kernel_file_has_its_reason() {
        let reasons = [
            (libc::ENOENT, Absence::Unsupported),
            (libc::EACCES, Absence::Denied),
            (libc::EPERM, Absence::Denied),
            (libc::EINVAL, Absence::Unsupported),
            (libc::ENODATA, Absence::Unsupported),
            (libc::EOPNOTSUPP, Absence::Unsupported),
            (libc::ENODEV, Absence::Lost),
            (libc::EIO, Absence::Lost),
        ];
        for (code, reason) in reasons {
            assert_eq!(absence(&io::Error::from_raw_os_error(code)), reason, "{code}");
        }
    }
}
