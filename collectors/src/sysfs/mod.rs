//! Attributes of a card in sysfs: kept open, read whole with a limit, each read accounted for by the name of its file.
pub(crate) mod bus;
pub(crate) mod cards;
pub(crate) mod growth;
pub(crate) mod knob;
pub(crate) mod seldom;

use model::{Absence, Batch, Calls, Metric, Reading, Slot};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes of an attribute that are read at most; a longer one is not what the kernel writes, whose attributes fill a page
/// (Documentation/filesystems/sysfs.rst), except for lists such as that of bad pages.
const LENGTH_MAX: usize = 16 << 10;
/// Bytes that are read at first: more than a page, so that one call reads an attribute and sees its end.
const LENGTH_FIRST: usize = 4200;

/// One file of a card.
#[derive(Debug)]
pub(crate) struct Attr {
    call: &'static str,
    path: PathBuf,
    file: Option<File>,
    /// Whether it was ever there.
    met: bool,
    bytes: Vec<u8>,
}

impl Attr {
    /// A file that is opened when it is first read. `call`: its name in the account of calls.
    pub(crate) fn new(call: &'static str, path: PathBuf) -> Self {
        Self { call, path, file: None, met: false, bytes: Vec::new() }
    }

    /// All that it holds. After an error it is opened anew the next time.
    ///
    /// # Errors
    /// As the file system says; `InvalidData` when it is longer than an attribute can be.
    pub(crate) fn bytes(&mut self, calls: &Calls) -> io::Result<&[u8]> {
        let length = calls.during(self.call, || self.fill()).inspect_err(|_| self.file = None)?;
        Ok(&self.bytes[..length])
    }

    /// All that it holds, as text without the space around it.
    ///
    /// # Errors
    /// As [`Attr::bytes`]; `InvalidData` when it is not text.
    pub(crate) fn text(&mut self, calls: &Calls) -> io::Result<&str> {
        let text = std::str::from_utf8(self.bytes(calls)?);
        text.map(str::trim).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// The number that it holds.
    ///
    /// # Errors
    /// As [`Attr::text`]; `InvalidData` when it is not a decimal number.
    pub(crate) fn number(&mut self, calls: &Calls) -> io::Result<f64> {
        number(self.text(calls)?).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "not a number"))
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.file.is_none() {
            self.file = Some(File::open(&self.path).map_err(|error| self.vanished(error))?);
            self.met = true;
        }
        let Some(file) = &self.file else { return Ok(0) };
        if self.bytes.is_empty() {
            self.bytes.resize(LENGTH_FIRST, 0);
        }
        let mut length = 0;
        loop {
            match file.read_at(&mut self.bytes[length..], length as u64) {
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if length < self.bytes.len() {
                return Ok(length);
            }
            if length >= LENGTH_MAX {
                self.bytes.truncate(LENGTH_FIRST);
                return Err(io::Error::new(ErrorKind::InvalidData, "too long for an attribute"));
            }
            self.bytes.resize(LENGTH_MAX, 0);
        }
    }

    /// What was there and is gone is lost, which is not the same as never having been there.
    fn vanished(&self, error: io::Error) -> io::Error {
        let gone = self.met && error.kind() == ErrorKind::NotFound;
        if gone { io::Error::from_raw_os_error(libc::ENODEV) } else { error }
    }
}

/// A decimal number. Words such as `nan` and `inf`, and numbers of more than 64 bits, the kernel never writes.
pub(crate) fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    let number: f64 = digits.then(|| text.parse().ok())??;
    (number.abs() <= u64::MAX as f64).then_some(number)
}

/// Why a value is absent.
pub(crate) fn absence(error: &io::Error) -> Absence {
    match error.raw_os_error() {
        Some(libc::EACCES) => Absence::Denied,
        // amdgpu answers EPERM while the card is being reset or sleeps (amdgpu_pm.c), others EBUSY and EAGAIN: not now.
        Some(libc::EPERM | libc::EBUSY | libc::EAGAIN | libc::ETIMEDOUT) => Absence::Late,
        Some(libc::ENOENT | libc::EINVAL | libc::ENODATA | libc::EOPNOTSUPP | libc::ENOSYS) => {
            Absence::Unsupported
        }
        Some(_) => Absence::Lost,
        None if error.kind() == ErrorKind::InvalidData => Absence::Implausible,
        None => Absence::Lost,
    }
}

/// How an attribute's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// A number, which is multiplied with this to be in base units.
    Number(f64),
    /// A number in which 0 means that there is no limit.
    Limit(f64),
    /// The speed of a PCIe link, such as `16.0 GT/s PCIe`, which becomes its generation.
    Speed,
    /// The highest of the clocks in lines such as `1: 2100Mhz *`.
    Clocks,
}

impl Form {
    /// The reading that a text is.
    pub(crate) fn reading(self, metric: Metric, text: &str) -> Reading {
        let value = match self {
            Self::Number(scale) => number(text).map(|number| number * scale),
            Self::Limit(_) if number(text) == Some(0.0) => return Reading::Absent(Absence::Disabled),
            Self::Limit(scale) => number(text).map(|number| number * scale),
            Self::Speed => text.split_ascii_whitespace().next().and_then(number).and_then(generation),
            Self::Clocks => clocks(text),
        };
        value.map_or(Reading::Absent(Absence::Implausible), |value| metric.reading(value))
    }
}

/// The PCIe generation of a speed in GT/s.
pub(crate) fn generation(speed_gt: f64) -> Option<f64> {
    const SPEEDS: [f64; 6] = [2.5, 5.0, 8.0, 16.0, 32.0, 64.0];
    let place = SPEEDS.iter().position(|speed| (speed - speed_gt).abs() < 0.05)?;
    Some(place as f64 + 1.0)
}

/// The highest clock, in hertz, of lines such as `1: 2100Mhz *`.
fn clocks(text: &str) -> Option<f64> {
    let clock = |line: &str| {
        let word = line.split_ascii_whitespace().nth(1)?.to_ascii_lowercase();
        Some(number(word.strip_suffix("mhz")?)? * 1e6)
    };
    text.lines().filter_map(clock).reduce(f64::max)
}

/// A file that holds one metric.
#[derive(Debug)]
pub(crate) struct Gauge {
    metric: Metric,
    form: Form,
    attr: Attr,
}

impl Gauge {
    /// The gauge, if the card has it: the file is there and does not say that the card lacks the value.
    pub(crate) fn found(row: &Row, folder: &Path, calls: &Calls) -> Option<Self> {
        let (name, metric, form) = *row;
        let mut gauge = Self { metric, form, attr: Attr::new(name, folder.join(name)) };
        let lacks = gauge.take(calls).absence() == Some(Absence::Unsupported);
        (!lacks).then_some(gauge)
    }

    /// The metric that it holds.
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    /// The reading now.
    pub(crate) fn take(&mut self, calls: &Calls) -> Reading {
        match self.attr.text(calls) {
            Ok(text) => self.form.reading(self.metric, text),
            Err(error) => Reading::Absent(absence(&error)),
        }
    }

    /// Puts the reading into the batch.
    pub(crate) fn read(&mut self, calls: &Calls, slot: Slot, batch: &mut Batch) {
        let reading = self.take(calls);
        batch.put(slot, self.metric, reading);
    }
}

/// What a file is called, which metric it holds, and how it is written.
pub(crate) type Row = (&'static str, Metric, Form);

/// The gauges of a folder that the card has; of several for one metric the first stands.
pub(crate) fn gauges(rows: &[Row], folder: &Path, calls: &Calls, known: &mut Vec<Gauge>) {
    for row in rows {
        if !known.iter().any(|gauge| gauge.metric == row.1) {
            known.extend(Gauge::found(row, folder, calls));
        }
    }
}

/// The PCIe link as the kernel shows it for any device (Documentation/ABI/testing/sysfs-bus-pci).
pub(crate) const PCIE: &[Row] = &[
    ("current_link_speed", Metric::PcieGeneration, Form::Speed),
    ("current_link_width", Metric::PcieWidth, Form::Number(1.0)),
    ("max_link_speed", Metric::PcieGenerationMax, Form::Speed),
    ("max_link_width", Metric::PcieWidthMax, Form::Number(1.0)),
];

/// The names in a folder that pass, sorted; a folder that is not there is empty.
pub(crate) fn names(folder: &Path, pass: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pass(name))
        .collect();
    names.sort();
    names
}

/// The number behind a prefix: 7 in `card7`; `None` where something else follows.
pub(crate) fn numbered(name: &str, prefix: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A word read once, without the space around it; empty when it cannot be read or is no word.
pub(crate) fn word(path: PathBuf) -> String {
    let mut attr = Attr::new("sysfs identity", path);
    let text = attr.text(&Calls::default()).unwrap_or_default();
    let plain = text.len() <= WORD_MAX && text.chars().all(|c| !c.is_control());
    if plain { text.to_owned() } else { String::new() }
}

/// Characters of a word at most.
const WORD_MAX: usize = 128;

/// The folder of a device's hardware monitor with one of these names; a device has at most one.
pub(crate) fn monitor(device: &Path, chips: &[&str]) -> Option<PathBuf> {
    let folder = device.join("hwmon");
    names(&folder, |name| numbered(name, "hwmon").is_some())
        .into_iter()
        .map(|name| folder.join(name))
        .find(|monitor| chips.contains(&word(monitor.join("name")).as_str()))
}
