//! Which processors were idle since the last beat, from `/proc/stat`.
use crate::host::file::numbered;

/// Columns of `/proc/stat` that add up to all time: user, nice, system, idle, iowait, irq, softirq, steal. What guests had
/// is in user already (proc(5)).
const COLUMNS: usize = 8;
/// The columns of time in which nothing ran: idle and iowait.
const IDLE: [usize; 2] = [3, 4];

/// One processor's ticks, and the share of idle ones among the last.
#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    idle: u64,
    all: u64,
    share: Option<f64>,
}

/// Every processor.
#[derive(Debug, Default)]
pub(super) struct Idle {
    cpus: Vec<Cpu>,
}

impl Idle {
    /// Takes the text of `/proc/stat`. A processor that is not in it, or that no tick was counted for, is not known to be idle.
    pub(super) fn follow(&mut self, stat: &str) {
        self.cpus.iter_mut().for_each(|cpu| cpu.share = None);
        for line in stat.lines() {
            let mut words = line.split_ascii_whitespace();
            let number = words.next().and_then(|word| numbered(word, "cpu"));
            let Some(number) = number.filter(|number| *number < model::device::DEVICES_MAX) else { continue };
            let mut ticks = [0_u64; COLUMNS];
            ticks.iter_mut().zip(words).for_each(|(tick, word)| *tick = word.parse().unwrap_or(0));
            if self.cpus.len() <= number {
                self.cpus.resize(number + 1, Cpu::default());
            }
            let before = self.cpus[number];
            let (idle, all) = (IDLE.iter().map(|column| ticks[*column]).sum(), ticks.iter().sum());
            let passed = if before.all > 0 { u64::saturating_sub(all, before.all) } else { 0 };
            // Idle time may step back by a little (proc(5)).
            let rested = u64::saturating_sub(idle, before.idle).min(passed);
            let share = (passed > 0).then(|| rested as f64 / passed as f64);
            self.cpus[number] = Cpu { idle, all, share };
        }
    }

    /// The processor that was idle for the largest share, the first among equals; none where all were below the least share.
    pub(super) fn idlest(&self, cpus: impl Iterator<Item = usize>, least: f64) -> Option<usize> {
        let share = |cpu: usize| self.cpus.get(cpu).and_then(|known| known.share).map(|share| (cpu, share));
        let known = cpus.filter_map(share).filter(|(_, share)| *share >= least);
        known.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(cpu, _)| cpu)
    }
}
