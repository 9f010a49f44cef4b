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
    /// Both kinds of inference mixed, as a server sees them, by day and night and in bursts.
    Serving,
    /// A job that fills device memory and computes nothing yet.
    Loading,
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
    /// Share of cycles in which the matrix pipes work at full clock.
    pub tensor: f64,
    /// Data moved to and from the host and to and from other boards, in bytes per second each way.
    pub host: f64,
    /// The same for the links to other boards.
    pub link: f64,
    /// Share of cycles in which any multiprocessor works.
    pub sm: f64,
}

impl Demand {
    const fn new(power: f64, busy: f64, memory: f64, resident: f64) -> Self {
        Self { power, busy, memory, resident, tensor: 0.0, host: busy * 2.1e9, link: 0.0, sm: busy * 0.96 }
    }

    const fn with(self, tensor: f64, link: f64) -> Self {
        Self { tensor, link, ..self }
    }
}

/// Share of its usual requests that a server has: a day's swing, the same on every board, and a board's own bursts of
/// minutes. An assumption in the shape of POLCA's production trace (arXiv 2308.12908): inference peaks at 79 % of the row.
fn traffic(seed: u64, stream: u64, ms: u64) -> f64 {
    const DAY_MS: f64 = 86_400e3;
    const BURST_MS: u64 = 120_000;
    let phase = signed(seed, 4000, 0);
    // A day of milliseconds is far below 2^53.
    let day = (std::f64::consts::TAU * (ms as f64 / DAY_MS + phase)).sin();
    let burst = |number: u64| signed(seed, 4001 + stream, number);
    let (number, into) = (ms / BURST_MS, (ms % BURST_MS) as f64 / BURST_MS as f64);
    let own = burst(number) * (1.0 - into) + burst(number + 1) * into;
    0.8 + 0.15 * day + 0.12 * own
}

impl Workload {
    /// Every workload.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Training, Self::Prefill, Self::Decode, Self::Serving, Self::Loading];
    /// What the boards of a node do by default, in turn.
    pub const MIX: [Self; 5] = [Self::Idle, Self::Training, Self::Prefill, Self::Decode, Self::Serving];

    /// The word by which tools name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Training => "training",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Serving => "serving",
            Self::Loading => "loading",
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
            Self::Training | Self::Loading => "torchrun",
            Self::Prefill | Self::Decode | Self::Serving => "vllm",
        }
    }

    /// What it asks at `ms` milliseconds of simulated time. `stream` tells boards apart.
    pub fn demand(self, seed: u64, stream: u64, ms: u64) -> Demand {
        // Noise changes every 50 ms, phases of boards are spread over a second.
        let jitter = |size: f64| size * signed(seed, stream, ms / 50);
        let shifted = ms + stream * 137;
        match self {
            Self::Idle => Demand::new(0.0, 0.0, 0.0, 0.006),
            Self::Loading => Demand { host: 12e9, ..Demand::new(0.04, 0.08, 0.05, 0.83) },
            // Boards of a training job share their iterations, so they are not shifted against each other. Now and then
            // all of them wait until a checkpoint is written.
            Self::Training if ms % 600_000 >= 592_000 => {
                Demand { host: 8e9, ..Demand::new(0.08 + jitter(0.02), 0.15, 0.06, 0.83) }
            }
            Self::Training if ms % 2500 >= 2250 => {
                Demand::new(0.35 + jitter(0.03), 0.55, 0.2, 0.83).with(0.1, 120e9)
            }
            Self::Training => Demand::new(0.90 + jitter(0.03), 0.99, 0.52 + jitter(0.02), 0.83)
                .with(0.56 + jitter(0.02), 110e9),
            Self::Prefill if shifted % 1400 < 600 => {
                Demand::new(0.98 + jitter(0.02), 1.0, 0.4 + jitter(0.02), 0.88).with(0.7, 0.0)
            }
            Self::Prefill => Demand::new(0.42 + jitter(0.04), 0.7, 0.5 + jitter(0.03), 0.88).with(0.15, 0.0),
            Self::Decode => Demand::new(0.27 + jitter(0.03), 0.93, 0.81 + jitter(0.03), 0.9)
                .with(0.08 + jitter(0.01), 0.0),
            Self::Serving => {
                let traffic = traffic(seed, stream, ms);
                if ((shifted % 2100) as f64) < 500.0 * traffic {
                    Demand::new(0.9 + jitter(0.03), 0.98, 0.5, 0.89).with(0.6, 0.0)
                } else {
                    let (busy, memory) = (0.6 + 0.32 * traffic, 0.85 * traffic);
                    Demand::new(0.28 + 0.2 * traffic + jitter(0.05), busy, memory, 0.89).with(0.12, 0.0)
                }
            }
        }
    }
}
