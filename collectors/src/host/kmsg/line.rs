//! One message of the kernel's log: its prefix, and what its text tells of.
//!
//! The texts are those of the kernel's own sources (arch/x86/kernel/cpu/mce, drivers/pci/pcie/aer.c, mm/oom_kill.c,
//! kernel/hung_task.c) and of NVIDIA's drivers, found as plain strings.
use model::{Metric, NoticeKind, PciAddress};

/// What a message can tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Xid,
    Sxid,
    MachineCheck,
    PcieAer,
    OutOfMemory,
    HungTask,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub(super) const ALL: [Self; 6] =
        [Self::Xid, Self::Sxid, Self::MachineCheck, Self::PcieAer, Self::OutOfMemory, Self::HungTask];

    /// The notice that is made of it.
    pub(super) const fn notice(self) -> NoticeKind {
        match self {
            Self::Xid => NoticeKind::Xid,
            Self::Sxid => NoticeKind::Sxid,
            Self::MachineCheck => NoticeKind::MachineCheck,
            Self::PcieAer => NoticeKind::PcieAer,
            Self::OutOfMemory => NoticeKind::OutOfMemory,
            Self::HungTask => NoticeKind::HungTask,
        }
    }

    /// What counts its messages.
    pub(super) const fn metric(self) -> Metric {
        match self {
            Self::Xid => Metric::KernelXid,
            Self::Sxid => Metric::KernelSxid,
            Self::MachineCheck => Metric::KernelMachineCheck,
            Self::PcieAer => Metric::KernelPcieAer,
            Self::OutOfMemory => Metric::KernelOutOfMemory,
            Self::HungTask => Metric::KernelHungTask,
        }
    }
}

/// What a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: Kind,
    /// See [`NoticeKind`].
    pub(super) code: u32,
    pub(super) pci: Option<PciAddress>,
}

impl Told {
    const fn new(kind: Kind, code: u32) -> Self {
        Self { kind, code, pci: None }
    }
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Its number; the kernel counts messages.
    pub(super) number: u64,
    /// Whether the kernel itself says so. Root can write to the log too, and is marked as another facility.
    kernel: bool,
    text: &'a str,
}

/// A message as it is read: `priority,number,microseconds,flags[,…];text`, then lines of a dictionary.
pub(super) fn parse(message: &str) -> Option<Message<'_>> {
    let (prefix, text) = message.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let number = fields.next()?.parse().ok()?;
    let _microseconds: u64 = fields.next()?.parse().ok()?;
    fields.next()?;
    // The lower three bits are the level, the rest is the facility, 0 the kernel's (syslog(2)).
    Some(Message { number, kernel: priority >> 3 == 0, text: text.lines().next().unwrap_or("") })
}

impl Message<'_> {
    /// What it tells of, if of anything here.
    pub(super) fn told(&self) -> Option<Told> {
        let text = self.text;
        if !self.kernel {
            return None;
        }
        switch(text)
            .or_else(|| gpu(text))
            .or_else(|| machine_check(text))
            .or_else(|| bus(text))
            .or_else(|| out_of_memory(text))
            .or_else(|| hung_task(text))
    }
}

/// `nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 46 …`
fn switch(text: &str) -> Option<Told> {
    let (driver, rest) = text.split_once("SXid (")?;
    driver.contains("nvidia-nvswitch").then(|| coded(Kind::Sxid, rest))?
}

/// `NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.`
fn gpu(text: &str) -> Option<Told> {
    coded(Kind::Xid, text.split_once("NVRM: Xid (")?.1)
}

/// `PCI:0000:3b:00): 79, …`; the address stands without `PCI:` in older drivers' lines.
fn coded(kind: Kind, rest: &str) -> Option<Told> {
    let (address, rest) = rest.split_once("): ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let pci = PciAddress::parse(address.trim_start_matches("PCI:"));
    Some(Told { pci, ..Told::new(kind, digits.parse().ok()?) })
}

/// `mce: [Hardware Error]: CPU 3: Machine Check Exception: 5 Bank 4: …`, and lines that belong to one.
fn machine_check(text: &str) -> Option<Told> {
    let exception = text.contains("Machine Check Exception") || text.contains("Fatal machine check");
    let logged = text.contains("mce: [Hardware Error]") || text.contains("Machine check events logged");
    (exception || logged).then(|| Told::new(Kind::MachineCheck, u32::from(exception)))
}

/// `nvidia 0000:3b:00.0: PCIe Bus Error: severity=Corrected, …`, and the root port's
/// `pcieport 0000:3a:00.0: AER: Uncorrected (Fatal) error received: 0000:3b:00.0` (`… error message received from …` since
/// Linux 6.10).
fn bus(text: &str) -> Option<Told> {
    let (severity, pci) = if let Some((device, rest)) = text.split_once("PCIe Bus Error: severity=") {
        (rest, device.split([' ', ',']).find_map(address))
    } else {
        let rest = text.split_once("AER: ")?.1;
        let received = rest.contains("error received") || rest.contains("error message received");
        if !received {
            return None;
        }
        (rest.trim_start_matches("Multiple "), rest.rsplit([' ', ',']).find_map(address))
    };
    let code = match severity {
        _ if severity.starts_with("Correct") => 0,
        _ if severity.contains("(Non-Fatal)") => 1,
        _ => 2,
    };
    Some(Told { pci, ..Told::new(Kind::PcieAer, code) })
}

fn address(word: &str) -> Option<PciAddress> {
    PciAddress::parse(word.trim_end_matches(':'))
}

/// `Out of memory: Killed process 4242 (python) …`, `Memory cgroup out of memory: Killed process …`, and the summary
/// `oom-kill:constraint=CONSTRAINT_MEMCG,…` before either.
fn out_of_memory(text: &str) -> Option<Told> {
    let group = text.starts_with("Memory cgroup out of memory: Killed process")
        || text.starts_with("oom-kill:constraint=CONSTRAINT_MEMCG");
    let node = text.starts_with("Out of memory: Killed process")
        || text.starts_with("Out of memory: Kill process")
        || text.starts_with("oom-kill:");
    (group || node).then(|| Told::new(Kind::OutOfMemory, u32::from(group)))
}

/// `INFO: task python:4242 blocked for more than 120 seconds.`
fn hung_task(text: &str) -> Option<Told> {
    let rest = text.strip_prefix("INFO: task ")?;
    let (_, rest) = rest.split_once(" blocked ")?;
    rest.contains("for more than ").then(|| Told::new(Kind::HungTask, 0))
}
