//! The kernel's log: what it tells of errors of accelerators, switches, processors, the PCIe bus and memory, from
//! `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg), from the moment wattkeeper watches.
mod line;

use super::node;
use crate::{Need, Options};
use line::{Kind, Told};
use model::error::OpenError;
use model::source::SlotNotice;
use model::{Batch, CollectError, Collector, DeviceInfo, Metric, Slot, Timestamp};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

/// Messages read in one beat at most.
const MESSAGES_MAX: usize = 256;
/// Bytes read in one beat at most.
const BYTES_MAX: usize = 64 << 10;
/// Bytes of one message at most; the kernel makes none longer (`PRINTK_MESSAGE_MAX`, 8192 up to Linux 6.2).
const MESSAGE_MAX: usize = 8192;
/// Notices of one beat at most: those that say the same are one.
const NOTICES_MAX: usize = 64;

/// What reading the log needs.
pub const NEEDS: &[Need] = &[Need {
    what: "the kernel's log (/dev/kmsg)",
    right: "CAP_SYSLOG, or dmesg_restrict of 0",
    without: "SXid, machine checks, PCIe errors, processes killed for want of memory, hung tasks; XIDs come from the driver",
}];

/// Opens the source at the log's end; a host without the device file has none.
///
/// # Errors
/// When the log may not be read, or its end cannot be found.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let path = options.roots.dev.join("kmsg");
    let what = || format!("open the kernel's log {}", path.display());
    // A fixture's may be a named pipe; opened to be read without waiting, neither blocks.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(&path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| OpenError::io(what(), error))?,
    };
    let kind = file.metadata().map_err(|error| OpenError::io(what(), error))?.file_type();
    if !kind.is_char_device() && !kind.is_fifo() {
        return Ok(None);
    }
    let mut log = Device(file);
    log.skip().map_err(|error| OpenError::io(what(), error))?;
    Ok(Some(Box::new(Kmsg::new(node(&options.roots), Box::new(log)))))
}

/// A log that gives one message a reading.
trait Log: Send {
    /// Reads the next message. `WouldBlock` or no bytes: there is none now. `EPIPE`: older ones were overwritten before
    /// they were read. `InvalidInput`: this one does not fit and was passed over.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Passes over all that is there now.
    fn skip(&mut self) -> io::Result<()>;
}

struct Device(File);

impl Log for Device {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn skip(&mut self) -> io::Result<()> {
        match self.0.seek(SeekFrom::End(0)) {
            // A pipe has no end to go to; it gives what is written from now on.
            Err(error) if error.raw_os_error() != Some(libc::ESPIPE) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The source over a log.
struct Kmsg {
    info: DeviceInfo,
    slot: Option<Slot>,
    log: Box<dyn Log>,
    buffer: Box<[u8]>,
    /// Messages by kind, in the order of [`Kind::ALL`].
    counts: [u64; Kind::ALL.len()],
    other: u64,
    dropped: u64,
    /// The number of the next message if none is missed.
    next: Option<u64>,
    /// What was told on this beat.
    told: Vec<Told>,
}

impl Kmsg {
    fn new(info: DeviceInfo, log: Box<dyn Log>) -> Self {
        Self {
            info,
            slot: None,
            log,
            buffer: vec![0; MESSAGE_MAX].into_boxed_slice(),
            counts: [0; Kind::ALL.len()],
            other: 0,
            dropped: 0,
            next: None,
            told: Vec::with_capacity(NOTICES_MAX),
        }
    }

    /// Reads what was logged since the last beat. Of a flood the first messages are read, since they are nearest to its
    /// cause, and the rest is passed over: what is missed shows in the numbers of the messages.
    fn read(&mut self) -> io::Result<()> {
        self.told.clear();
        let mut bytes = 0;
        for _ in 0..MESSAGES_MAX {
            match self.log.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    self.take(length);
                    bytes += length;
                    if bytes >= BYTES_MAX {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The gap in the numbers says how many were overwritten.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(error) => return Err(error),
            }
        }
        self.log.skip()
    }

    fn take(&mut self, length: usize) {
        // A log hands over no more than fits.
        let text = String::from_utf8_lossy(self.buffer.get(..length).unwrap_or_default());
        let Some(message) = line::parse(&text) else {
            self.other += 1;
            return;
        };
        // Numbers go up by one; one that goes back is another boot's, or nobody's.
        let missed = self.next.and_then(|next| message.number.checked_sub(next)).unwrap_or(0);
        self.dropped = self.dropped.saturating_add(missed);
        self.next = message.number.checked_add(1);
        let Some(told) = message.told() else {
            self.other += 1;
            return;
        };
        self.counts[told.kind as usize] += 1;
        if self.told.len() < NOTICES_MAX && !self.told.contains(&told) {
            self.told.push(told);
        }
    }
}

impl Collector for Kmsg {
    fn name(&self) -> &'static str {
        "kmsg"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let slot = *self.slot.get_or_insert_with(|| batch.device(self.info.clone()));
        let read = self.read();
        for told in &self.told {
            let (kind, code, pci) = (told.kind.notice(), told.code, told.pci);
            batch.notice_at(SlotNotice { slot, kind, code, at: now, pci });
        }
        for (kind, count) in Kind::ALL.iter().zip(self.counts) {
            batch.set(slot, kind.metric(), count as f64);
        }
        batch.set(slot, Metric::KernelOther, self.other as f64);
        batch.set(slot, Metric::KernelDropped, self.dropped as f64);
        read.map_err(|error| CollectError::io("read the kernel's log", error))
    }
}

#[cfg(test)]
mod tests;
