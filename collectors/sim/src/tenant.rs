//! Tenants: kinds of processes that share a board, and what each needs of it while it is alone.
//!
//! The figures are assumptions in the shape of what is published: computing is bound by the clock, token generation by memory
//! (arXiv 2308.12908, 2501.08219), small kernels by the host. No figure was measured on a real board.

/// What a second of a tenant's work is made of while it is alone at the highest clock. The times add up to 1 with the kernels', which
/// are as long as [`longer`] makes of `compute` and `memory`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Need {
    /// Time in which neither kernels nor copies run: the host's.
    pub gap: f64,
    /// Time that its kernels need of the multiprocessors at the highest clock.
    pub compute: f64,
    /// Time that they need of the whole bandwidth of device memory.
    pub memory: f64,
    /// Time of copies to and from the host over a link that is free.
    pub copy: f64,
    /// Share of the issue slots that its kernels take while they run.
    pub issue: f64,
    /// Share of the multiprocessors that they keep at work while they run.
    pub sm: f64,
    /// Share of cycles in which matrix pipes work while they run.
    pub tensor: f64,
    /// Share of the board's dynamic power.
    pub power: f64,
    /// Share of device memory.
    pub resident: f64,
    /// How often it waits for a result and begins with an empty queue.
    pub waits: f64,
    /// Bytes a second over links to other boards.
    pub link: f64,
}

const NONE: Need = Need {
    gap: 0.0,
    compute: 0.0,
    memory: 0.0,
    copy: 0.0,
    issue: 0.0,
    sm: 0.0,
    tensor: 0.0,
    power: 0.0,
    resident: 0.05,
    waits: 0.0,
    link: 0.0,
};

/// A kind of tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tenant {
    /// Nobody.
    Nobody,
    /// Large products of matrices.
    Compute,
    /// A copy from device memory to device memory.
    Stream,
    /// Copies from the host with a short kernel after each.
    Copy,
    /// Many small kernels, each burst waited for.
    Launch,
    /// Token generation: a pass over the weights for each token.
    Decode,
    /// Presses on the multiprocessors.
    PressCompute,
    /// Presses on device memory.
    PressMemory,
    /// Presses on the link to the host.
    PressCopy,
    /// Presses on all of it, as a job of training does.
    PressMixed,
}

impl Tenant {
    /// Every kind; its place is the code under which plain state refers to it.
    pub const ALL: [Self; 10] = [
        Self::Nobody,
        Self::Compute,
        Self::Stream,
        Self::Copy,
        Self::Launch,
        Self::Decode,
        Self::PressCompute,
        Self::PressMemory,
        Self::PressCopy,
        Self::PressMixed,
    ];

    /// The word by which tools name it, and the command name of its process.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Compute => "compute",
            Self::Stream => "stream",
            Self::Copy => "copy",
            Self::Launch => "launch",
            Self::Decode => "decode",
            Self::PressCompute => "press-compute",
            Self::PressMemory => "press-memory",
            Self::PressCopy => "press-copy",
            Self::PressMixed => "press-mixed",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tenant| tenant.as_str() == name)
    }

    /// The code under which plain state refers to it.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The kind of a code; an unknown one is nobody.
    pub fn of(code: u32) -> Self {
        Self::ALL.get(code as usize).copied().unwrap_or(Self::Nobody)
    }

    /// What it needs alone.
    pub const fn need(self) -> Need {
        match self {
            Self::Nobody => NONE,
            Self::Compute => kernels([0.02, 0.98, 0.35, 0.0], 0.9, 0.97, 0.62, 0.95).waiting(20.0),
            Self::Stream => kernels([0.02, 0.3, 0.98, 0.0], 0.3, 0.95, 0.0, 0.45).waiting(20.0),
            Self::Copy => kernels([0.04, 0.05, 0.06, 0.9], 0.4, 0.8, 0.0, 0.1).waiting(60.0),
            Self::Launch => kernels([0.5, 0.47, 0.35, 0.0], 0.25, 0.3, 0.0, 0.14).waiting(250.0),
            Self::Decode => kernels([0.1, 0.45, 0.89, 0.0], 0.35, 0.9, 0.09, 0.33).waiting(40.0),
            Self::PressCompute => kernels([0.01, 0.99, 0.1, 0.0], 0.97, 0.99, 0.0, 0.85),
            Self::PressMemory => kernels([0.01, 0.15, 0.99, 0.0], 0.15, 0.98, 0.0, 0.42),
            Self::PressCopy => kernels([0.01, 0.02, 0.02, 0.97], 0.2, 0.6, 0.0, 0.06),
            Self::PressMixed => {
                Need { link: 90e9, ..kernels([0.05, 0.8, 0.7, 0.05], 0.75, 0.95, 0.45, 0.9) }.waiting(8.0)
            }
        }
    }
}

/// A need from its times (gap, computing, memory, copies), issue slots, multiprocessors, matrix pipes and power.
const fn kernels(times: [f64; 4], issue: f64, sm: f64, tensor: f64, power: f64) -> Need {
    let [gap, compute, memory, copy] = times;
    Need { gap, compute, memory, copy, issue, sm, tensor, power, ..NONE }
}

impl Need {
    const fn waiting(self, waits: f64) -> Self {
        Self { waits, ..self }
    }
}

/// The time of kernels that need so much of the multiprocessors and of memory: both at once, the longer one counting most.
pub fn longer(compute: f64, memory: f64) -> f64 {
    // The sixth root of the sum of sixth powers; how far the two overlap is an assumption.
    let cube = |value: f64| value * value * value;
    (cube(compute * compute) + cube(memory * memory)).powf(1.0 / 6.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_work_alone_is_a_second() {
        for tenant in Tenant::ALL.into_iter().skip(1) {
            let need = tenant.need();
            let second = need.gap + longer(need.compute, need.memory) + need.copy;
            assert!((second - 1.0).abs() < 0.06, "{}: {second}", tenant.as_str());
        }
    }

    #[test]
    fn every_kind_has_a_name_and_a_code_of_its_own() {
        for tenant in Tenant::ALL {
            assert_eq!((Tenant::named(tenant.as_str()), Tenant::of(tenant.code())), (Some(tenant), tenant));
        }
        assert_eq!(Tenant::of(99), Tenant::Nobody);
    }
}
