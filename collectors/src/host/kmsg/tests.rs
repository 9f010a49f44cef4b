//! Tests of the kernel's log: what is told, by whom, and that floods, junk and gaps neither lag nor mislead.
use super::*;
use crate::Roots;
use model::source::SourceMap;
use model::{DeviceKind, Frame, NoticeKind, PciAddress};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a reading of the pretended log gives.
enum Given {
    Text(Vec<u8>),
    Error(i32),
}

/// A log that tests write to. Skipping empties it, as it does in the kernel.
#[derive(Clone, Default)]
struct Pretended(Arc<Mutex<(VecDeque<Given>, u64)>>);

impl Pretended {
    fn say(&self, priority: u32, text: &str) {
        let mut log = self.0.lock().unwrap();
        let number = log.1;
        log.1 += 1;
        log.0.push_back(Given::Text(format!("{priority},{number},{},-;{text}\n", number * 100).into_bytes()));
    }

    fn give(&self, given: Given) {
        self.0.lock().unwrap().0.push_back(given);
    }

    fn overwrite(&self, count: usize) {
        let mut log = self.0.lock().unwrap();
        log.0.drain(..count);
        log.0.push_front(Given::Error(libc::EPIPE));
    }
}

impl Log for Pretended {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.lock().unwrap().0.pop_front() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(Given::Error(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Given::Text(text)) if text.len() > buffer.len() => {
                Err(io::Error::from_raw_os_error(libc::EINVAL))
            }
            Some(Given::Text(text)) => {
                buffer[..text.len()].copy_from_slice(&text);
                Ok(text.len())
            }
        }
    }

    fn skip(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().0.clear();
        Ok(())
    }
}

/// The source over a pretended log.
struct Bench {
    log: Pretended,
    source: Kmsg,
    batch: Batch,
    beats: u64,
}

impl Bench {
    fn new() -> Self {
        let log = Pretended::default();
        let info = DeviceInfo::new(DeviceKind::Node, "host");
        let source = Kmsg::new(info, Box::new(log.clone()));
        Self { log, source, batch: Batch::default(), beats: 0 }
    }

    fn beat(&mut self) {
        self.beats += 1;
        self.batch.begin();
        let now = Timestamp::default().after(Duration::from_secs(self.beats));
        self.source.collect(now, &mut self.batch).unwrap();
    }

    fn count(&self, metric: Metric) -> f64 {
        let slot = self.source.slot.unwrap();
        self.batch.reading(slot, metric).and_then(model::Reading::value).unwrap()
    }

    /// Kind, code and address of what was told on the last beat.
    fn told(&self) -> Vec<(NoticeKind, u32, Option<PciAddress>)> {
        self.batch.notices().iter().map(|n| (n.kind, n.code, n.pci)).collect()
    }
}

fn at(text: &str) -> Option<PciAddress> {
    Some(PciAddress::parse(text).unwrap())
}

#[test]
fn every_kind_of_line_is_told_with_its_code_and_place() {
    use NoticeKind::{HungTask, MachineCheck, OutOfMemory, PcieAer, Sxid, Xid};
    let gpu = at("0000:3b:00.0");
    let lines = [
        (
            "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            Xid,
            79,
            gpu,
        ),
        ("NVRM: Xid (0000:3b:00): 31, Ch 0000002b", Xid, 31, gpu),
        ("NVRM: Xid (PCI:?): 8, Channel 00000001", Xid, 8, None),
        (
            "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 46 egress",
            Sxid,
            12028,
            at("0000:c1:00.0"),
        ),
        ("mce: [Hardware Error]: Machine check events logged", MachineCheck, 0, None),
        (
            "mce: [Hardware Error]: CPU 3: Machine Check Exception: 5 Bank 4: b200000000070f0f",
            MachineCheck,
            1,
            None,
        ),
        ("nvidia 0000:3b:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer", PcieAer, 0, gpu),
        (
            "nvidia 0000:3b:00.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction",
            PcieAer,
            1,
            gpu,
        ),
        ("nvidia 0000:3b:00.0: AER: PCIe Bus Error: severity=Uncorrectable (Fatal), type=x", PcieAer, 2, gpu),
        ("pcieport 0000:3a:00.0: AER: Corrected error received: 0000:3b:00.0", PcieAer, 0, gpu),
        (
            "pcieport 0000:3a:00.0: AER: Multiple Correctable error message received from 0000:3b:00.0",
            PcieAer,
            0,
            gpu,
        ),
        ("pcieport 0000:3a:00.0: AER: Uncorrected (Fatal) error received: id=0018", PcieAer, 2, None),
        ("Out of memory: Killed process 4242 (python) total-vm:1kB, anon-rss:1kB", OutOfMemory, 0, None),
        ("Memory cgroup out of memory: Killed process 4242 (python) total-vm:1kB", OutOfMemory, 1, None),
        (
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0",
            OutOfMemory,
            1,
            None,
        ),
        ("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=a,mems_allowed=0", OutOfMemory, 0, None),
        ("INFO: task nvidia-smi:4242 blocked for more than 120 seconds.", HungTask, 0, None),
        ("INFO: task dd:7 blocked in I/O wait for more than 122 seconds.", HungTask, 0, None),
    ];
    for (line, kind, code, place) in lines {
        let mut bench = Bench::new();
        bench.log.say(4, line);
        bench.beat();
        assert_eq!(bench.told(), [(kind, code, place)], "{line}");
        let kind = Kind::ALL.into_iter().find(|own| own.notice() == kind).unwrap();
        assert_eq!((bench.count(kind.metric()), bench.count(Metric::KernelOther)), (1.0, 0.0), "{line}");
    }
}

#[test]
fn ordinary_lines_are_counted_and_told_of_by_nobody() {
    let mut bench = Bench::new();
    let lines = [
        "",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module",
        "NVRM: Xid (PCI:0000:3b:00): none",
        "NVRM: Xid (PCI:0000:3b:00",
        "NVRM: Xid (PCI:0000:3b:00): 99999999999",
        "usb 1-1: SXid (PCI:0000:c1:00.0): 12028",
        "mce: CPU supports 22 MCE banks",
        "mce: Machine check polling timer started.",
        "pcieport 0000:3a:00.0: AER: enabled with IRQ 26",
        "pcieport 0000:3a:00.0: AER: device recovery successful",
        "Out of memory handler registered",
        "INFO: task scheduler started",
        "python[7]: segfault at 0",
    ];
    lines.iter().for_each(|line| bench.log.say(6, line));
    bench.beat();
    assert_eq!((bench.told(), bench.count(Metric::KernelOther)), (vec![], lines.len() as f64));
}

#[test]
fn only_the_kernel_itself_is_believed() {
    let mut bench = Bench::new();
    let line = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.";
    // 12: facility 1 (user), level 4.
    bench.log.say(12, line);
    bench.beat();
    assert_eq!((bench.told(), bench.count(Metric::KernelOther)), (vec![], 1.0));
    bench.log.say(4, line);
    bench.beat();
    assert_eq!(bench.told().len(), 1);
}

#[test]
fn what_is_said_again_within_a_beat_is_told_once_and_counted_each_time() {
    let mut bench = Bench::new();
    for code in [31, 31, 31, 43] {
        bench.log.say(4, &format!("NVRM: Xid (PCI:0000:3b:00): {code}, pid=7"));
    }
    bench.beat();
    assert_eq!((bench.told().len(), bench.count(Metric::KernelXid)), (2, 4.0));
    bench.beat();
    assert_eq!((bench.told().len(), bench.count(Metric::KernelXid)), (0, 4.0));
}

#[test]
fn of_a_flood_the_beginning_is_read_and_the_rest_is_counted() {
    let mut bench = Bench::new();
    bench.log.say(6, "quiet");
    bench.beat();
    for _ in 0..5 {
        bench.log.say(4, "NVRM: Xid (PCI:0000:3b:00): 79, pid=7");
        (0..9_999).for_each(|n| bench.log.say(6, &format!("line {n}")));
        bench.beat();
        assert_eq!(bench.told().len(), 1, "the first message is the cause");
    }
    bench.log.say(6, "quiet again");
    bench.beat();
    let read = (5 * MESSAGES_MAX + 2) as f64;
    assert_eq!(bench.count(Metric::KernelOther) + bench.count(Metric::KernelXid), read);
    assert_eq!(bench.count(Metric::KernelDropped), 50_000.0 - (5 * MESSAGES_MAX) as f64);
}

#[test]
fn long_messages_are_bounded_by_their_bytes() {
    let mut bench = Bench::new();
    let long = "x".repeat(4000);
    (0..200).for_each(|_| bench.log.say(6, &long));
    bench.beat();
    let read = bench.count(Metric::KernelOther);
    assert!((16.0..=17.0).contains(&read), "{read} messages of 4 kB");
}

#[test]
fn messages_that_were_overwritten_or_do_not_fit_are_counted_as_dropped() {
    let mut bench = Bench::new();
    bench.log.say(6, "first");
    bench.beat();
    (0..10).for_each(|_| bench.log.say(6, "lost"));
    bench.log.say(4, "INFO: task dd:7 blocked for more than 120 seconds.");
    bench.log.overwrite(10);
    bench.log.say(6, &"x".repeat(2 * MESSAGE_MAX));
    bench.log.say(6, "last");
    bench.beat();
    assert_eq!((bench.count(Metric::KernelDropped), bench.count(Metric::KernelHungTask)), (11.0, 1.0));
}

#[test]
fn a_log_that_fails_keeps_what_was_told_and_says_so() {
    let mut bench = Bench::new();
    bench.log.say(4, "Out of memory: Killed process 7 (x)");
    bench.log.give(Given::Error(libc::EIO));
    let error = bench.source.collect(Timestamp::default(), &mut bench.batch).unwrap_err();
    assert_eq!((error.reason, bench.batch.notices().len()), (model::Reason::Io, 1));
    bench.beat();
    assert_eq!(bench.count(Metric::KernelOutOfMemory), 1.0);
}

#[test]
fn truncated_and_torn_messages_are_others() {
    let mut bench = Bench::new();
    let whole =
        "4,7,100,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=7\n SUBSYSTEM=pci\n DEVICE=+pci:0000:3b:00.0\n";
    for length in 0..whole.len() {
        bench.log.give(Given::Text(whole.as_bytes()[..length].to_vec()));
        // An empty reading is the end of what is there.
        bench.beat();
    }
    bench.log.give(Given::Text(b"4,8,100,-;\xff\xfe NVRM: Xid (PCI:0000:3b:00): 79\n".to_vec()));
    bench.beat();
    assert_eq!(bench.told().len(), 1, "bytes that are no text do not hide it");
}

proptest! {
    #[test]
    fn no_junk_stops_the_source(junk in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20)) {
        let mut bench = Bench::new();
        let count = junk.len();
        junk.into_iter().for_each(|text| bench.log.give(Given::Text(text)));
        bench.beat();
        let kinds = Kind::ALL.into_iter().map(|kind| bench.count(kind.metric())).sum::<f64>();
        prop_assert_eq!(kinds + bench.count(Metric::KernelOther), count as f64);
    }

    #[test]
    fn no_text_behind_a_prefix_stops_the_source(
        number in any::<u64>(),
        head in "(NVRM: Xid \\(|nvidia-nvswitch0: SXid \\(|AER: |PCIe Bus Error: severity=|INFO: task |oom-kill:)",
        text in ".{0,80}",
    ) {
        let mut bench = Bench::new();
        bench.log.give(Given::Text(format!("0,{number},1,-;{head}{text}").into_bytes()));
        bench.log.give(Given::Text(b"0,5,1,-;next".to_vec()));
        bench.beat();
        prop_assert!(bench.told().len() <= 1);
    }
}

#[test]
fn the_device_is_the_accelerator_at_that_address_and_an_error_told_twice_is_one() {
    let mut bench = Bench::new();
    let (mut driver, mut frame) = (Batch::default(), Frame::default());
    let (mut log_map, mut driver_map) = (SourceMap::default(), SourceMap::default());
    let mut info = DeviceInfo::new(DeviceKind::Gpu, "GPU-a");
    info.attributes.insert("pci".into(), "00000000:3B:00.0".into());
    let slot = driver.device(info);
    driver.notice(slot, NoticeKind::Xid, 79, Timestamp::default());
    frame.begin(Timestamp::default().after(Duration::from_secs(1)));
    frame.merge(&driver, &mut driver_map, false);

    bench.log.say(4, "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.");
    bench.log.say(4, "NVRM: Xid (PCI:0000:3b:00): 45, pid=7");
    bench.log.say(4, "NVRM: Xid (PCI:0000:aa:00): 45, pid=7");
    bench.log.say(4, "nvidia 0000:3b:00.1: PCIe Bus Error: severity=Corrected, type=x");
    bench.beat();
    frame.merge(&bench.batch, &mut log_map, false);
    let gpu = frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();
    let node = frame.devices.find(DeviceKind::Node, "host").unwrap();
    let told: Vec<_> = frame.notices.iter().map(|n| (n.device, n.kind, n.code)).collect();
    let expected = [
        (gpu, NoticeKind::Xid, 79),
        (gpu, NoticeKind::Xid, 45),
        (node, NoticeKind::Xid, 45),
        (gpu, NoticeKind::PcieAer, 0),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_host_without_the_file_has_no_source_and_a_pipe_is_read_without_waiting() {
    let tree = tempfile::tempdir().unwrap();
    let options = Options { roots: Roots::below(tree.path()), ..Options::default() };
    assert!(open(&options).unwrap().is_none());
    let dev = tree.path().join("dev");
    std::fs::create_dir(&dev).unwrap();
    std::fs::write(dev.join("kmsg"), "no device file").unwrap();
    assert!(open(&options).unwrap().is_none());
    std::fs::remove_file(dev.join("kmsg")).unwrap();

    rustix::fs::mknodat(
        rustix::fs::CWD,
        dev.join("kmsg"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let mut source = open(&options).unwrap().expect("a pipe");
    let mut batch = Batch::default();
    source.collect(Timestamp::default(), &mut batch).unwrap();
    let mut pipe = OpenOptions::new().write(true).open(dev.join("kmsg")).unwrap();
    pipe.write_all(b"4,1,1,-;Out of memory: Killed process 7 (x)\n").unwrap();
    source.collect(Timestamp::default(), &mut batch).unwrap();
    assert_eq!(batch.notices().len(), 1);
    source.collect(Timestamp::default(), &mut batch).unwrap();
}
