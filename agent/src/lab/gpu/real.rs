//! The real stage: victims and antagonists as processes of their own on a GPU of this machine, read through the source `nvml`.
//!
//! It has only ever run against a library of our own that has the driver's interface (`tests/fake-cuda`): never on a GPU.
use super::plan::{Encounter, Job, Press, Sharing};
use super::session::{Look, Stage};
use super::simulated::look;
use crate::clock::{MachineClock, wait_until};
use crate::config::Config;
use crate::feed::Feed;
use crate::lab::child::Part;
use crate::lab::{Flags, LabError};
use collectors::cuda::Card;
use model::{Clock as _, Frame, ProcessUse, Vendor};
use std::path::{Path, PathBuf};

/// How long a part lives at most, in seconds.
const PART_SECONDS: u64 = 900;
/// How long a part may take to open the GPU, in seconds: a first context compiles the kernels.
const OPENS_S: u64 = 30;
/// The source that the lab reads.
const SOURCE: &str = "nvml";
const NS: u64 = 1_000_000_000;

/// A GPU with a victim and at most one antagonist.
pub(super) struct Real {
    feed: Feed,
    frame: Frame,
    flags: Flags,
    folder: PathBuf,
    due_ns: u64,
    victim: Option<Part>,
    rival: Option<Part>,
}

impl Real {
    /// Nobody on the GPU yet; it was opened and closed once, so that what is missing is told at once.
    ///
    /// # Errors
    /// When there is no library or no such GPU, or the sources cannot be opened.
    pub(super) fn new(config: &Config, flags: &Flags) -> Result<Self, LabError> {
        drop(Card::open(&flags.cuda, flags.device)?);
        let mut config = config.clone();
        config.rig.kind = model::snapshot::Rig::Hardware;
        let others = collectors::BUILT_IN.iter().map(|entry| entry.name).filter(|name| *name != SOURCE);
        config.collectors.disabled.extend(others.map(str::to_owned));
        let feed = crate::rig::assemble(&config).map_err(LabError::Rig)?.feed;
        let place = flags.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = place.join(format!("wattkeeper-lab-{}", std::process::id()));
        let due_ns = MachineClock.now().mono_ns;
        Ok(Self {
            feed,
            frame: Frame::default(),
            flags: flags.clone(),
            folder,
            due_ns,
            victim: None,
            rival: None,
        })
    }

    fn start(&self, name: &str, what: [&str; 2]) -> Result<Part, LabError> {
        Part::start(&self.folder.join(name), PART_SECONDS, |command| {
            command.args(what).arg("--cuda").arg(&self.flags.cuda);
            command.args(["--device", &self.flags.device.to_string()]);
            // Else CUDA counts the fastest GPU first, and the driver's tools do not.
            command.env("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        })
    }

    /// Waits until the victim has done something: its context is there then.
    fn await_victim(&mut self) -> Result<(), LabError> {
        for _ in 0..OPENS_S * 10 {
            let Some(victim) = &mut self.victim else { return Ok(()) };
            if progress(victim)?.0 > 0.0 {
                break;
            }
            lives(victim)?;
            wait_until(MachineClock.now().mono_ns + NS / 10);
        }
        self.due_ns = MachineClock.now().mono_ns;
        Ok(())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        (self.victim, self.rival) = (None, None);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn progress(part: &Part) -> Result<(f64, f64), LabError> {
    let done =
        part.steering.progress().map_err(|error| LabError::io("read what a victim has done", error))?;
    Ok((done.ops as f64, done.busy_ns as f64 / 1e9))
}

fn lives(part: &mut Part) -> Result<(), LabError> {
    let ended = part.child.try_wait().map_err(|error| LabError::io("look after a part", error))?;
    ended.map_or(Ok(()), |status| Err(LabError::Ended(status)))
}

impl Stage for Real {
    const SIMULATED: bool = false;

    fn sharings(&self) -> &'static [Sharing] {
        // Whether MPS runs is the operator's choice: the counters tell, and the lab starts and ends no service.
        let mps = Path::new("/tmp/nvidia-mps/control").exists();
        if mps { &[Sharing::Mps] } else { &[Sharing::Turns] }
    }

    fn presses(&self, press: Press) -> bool {
        press != Press::Power
    }

    fn begin(&mut self, job: Job, _: Sharing) -> Result<(), LabError> {
        (self.victim, self.rival) = (None, None);
        let part = self.start("victim", ["--job", job.as_str()])?;
        part.steering.steer(1.0).map_err(|error| LabError::io("steer a part", error))?;
        self.victim = Some(part);
        self.await_victim()
    }

    fn steer(&mut self, duty: f64) -> Result<(), LabError> {
        let steered = self.victim.as_ref().map_or(Ok(()), |part| part.steering.steer(duty));
        steered.map_err(|error| LabError::io("steer a part", error))
    }

    fn meet(&mut self, met: Option<Encounter>) -> Result<(), LabError> {
        self.rival = None;
        if let Some(met) = met {
            let part = self.start("antagonist", ["--press", met.press.as_str()])?;
            part.steering.steer(met.intensity).map_err(|error| LabError::io("steer a part", error))?;
            self.rival = Some(part);
        }
        Ok(())
    }

    fn second(&mut self) -> Result<Look, LabError> {
        self.due_ns += self.flags.window_ms * NS / 1000;
        wait_until(self.due_ns);
        let done = match &mut self.victim {
            Some(part) => lives(part).and_then(|()| progress(part))?,
            None => (0.0, 0.0),
        };
        self.rival.as_mut().map_or(Ok(()), lives)?;
        self.feed.collect(MachineClock.now(), &mut self.frame);
        let nvidia = self.frame.devices.accelerators().filter(|device| device.info.vendor == Vendor::Nvidia);
        let device = nvidia.min_by_key(|device| {
            let pci = device.info.attributes.get("pci").map_or("", String::as_str);
            (pci_place(&self.frame, pci) != self.flags.device as usize, device.id)
        });
        let device = device.ok_or(LabError::NoGpu(self.flags.device))?;
        let pid = |part: &Option<Part>| part.as_ref().map_or(0, |part| part.child.id());
        let listed = |pid: u32| {
            self.frame.processes.iter().find(|other| other.pid == pid && other.device == device.id)
        };
        let (own, rival) = (pid(&self.victim), pid(&self.rival));
        // A driver that does not list it, as in a container of its own, leaves its share absent and all else as it is.
        let unlisted = ProcessUse {
            device: device.id,
            pid: own,
            name: "".into(),
            memory_bytes: None,
            utilization: None,
            workload: None,
        };
        let share = listed(rival).and_then(|process| process.utilization);
        Ok(look(&self.frame, device, listed(own).unwrap_or(&unlisted), (done, share)))
    }
}

/// The place of a PCI address among those of NVIDIA's accelerators.
fn pci_place(frame: &Frame, pci: &str) -> usize {
    let nvidia = frame.devices.accelerators().filter(|device| device.info.vendor == Vendor::Nvidia);
    nvidia.filter_map(|device| device.info.attributes.get("pci")).filter(|other| other.as_str() < pci).count()
}
