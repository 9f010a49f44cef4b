//! Workloads: what each asks of a board at each moment, as a share of the board's dynamic power at full clock.
use crate::noise::signed;

/// What a board is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Nothing.
    Idle,
    /// Synchronous training: near full power, with a dip at each iteration's end (POLCA, arXiv 2308.12908, reports dips to
    /// 20-75 % of TDP).
    Training,
    /// Prompt processing: bursts to full power that last under a second.
    Prefill,
    /// Token generation: bound by memory, 137 to 300 W of 700 on an H200 (arXiv 2605.11999), so power limits do nothing.
    Decode,
    /// Both kinds of inference mixed, as a server sees them.
    Serving,
}

/// What is asked of a board at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Share of the dynamic power at full clock, 0 to 1.
    pub power: f64,
    /// Share of time in which an engine is busy.
    pub busy: f64,
    /// Share of time in which device memory is read or written.
    pub memory: f64,
    /// Share of device memory in use.
    pub resident: f64,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Self; 5] = [Self::Idle, Self::Training, Self::Prefill, Self::Decode, Self::Serving];

    /// The word by which tools name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Training => "training",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Serving => "serving",
        }
    }

    /// The workload with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.as_str() == name)
    }

    /// The code under which plain state refers to it.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The workload of a code; an unknown one is idle.
    pub fn of(code: u32) -> Self {
        Self::ALL.get(code as usize).copied().unwrap_or(Self::Idle)
    }

    /// The command name of its process, empty for none.
    pub const fn process(self) -> &'static str {
        match self {
            Self::Idle => "",
            Self::Training => "torchrun",
            Self::Prefill | Self::Decode | Self::Serving => "vllm",
        }
    }

    /// What it asks at `ms` milliseconds of simulated time. `stream` tells boards apart.
    pub fn demand(self, seed: u64, stream: u64, ms: u64) -> Demand {
        // Noise changes every 50 ms, phases of boards are spread over a second.
        let jitter = |size: f64| size * signed(seed, stream, ms / 50);
        let shifted = ms + stream * 137;
        match self {
            Self::Idle => Demand { power: 0.0, busy: 0.0, memory: 0.0, resident: 0.006 },
            // Boards of a training job share their iterations, so they are not shifted against each other.
            Self::Training if ms % 2500 >= 2250 => {
                Demand { power: 0.35 + jitter(0.03), busy: 0.55, memory: 0.2, resident: 0.83 }
            }
            Self::Training => Demand { power: 0.90 + jitter(0.03), busy: 0.99, memory: 0.52, resident: 0.83 },
            Self::Prefill if shifted % 1400 < 600 => {
                Demand { power: 0.98 + jitter(0.02), busy: 1.0, memory: 0.4, resident: 0.88 }
            }
            Self::Prefill => Demand { power: 0.42 + jitter(0.04), busy: 0.7, memory: 0.5, resident: 0.88 },
            Self::Decode => {
                Demand { power: 0.27 + jitter(0.03), busy: 0.93, memory: 0.81 + jitter(0.03), resident: 0.9 }
            }
            Self::Serving if shifted % 2100 < 400 => {
                Demand { power: 0.9 + jitter(0.03), busy: 0.98, memory: 0.5, resident: 0.89 }
            }
            Self::Serving => Demand { power: 0.45 + jitter(0.05), busy: 0.86, memory: 0.68, resident: 0.89 },
        }
    }
}
