//! What is counted of a workload and of the node over one window, with the names that data sets give it.

/// Declares an enum of counters with the names of their columns.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $variant:ident = $column:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$field])* $variant,)+ }

        impl $name {
            /// Every counter, in the order of columns.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name of its column in a data set.
            pub const fn column(self) -> &'static str {
                match self { $(Self::$variant => $column,)+ }
            }
        }
    };
}

counters! {
    /// Counters of a workload, per second of the window unless said otherwise.
    Own {
        /// Processor time, in seconds.
        Run = "run_s",
        /// Processor time in the kernel, in seconds.
        System = "system_s",
        /// Time in which its tasks were runnable and waited for a processor, in seconds, summed over tasks.
        Wait = "wait_s",
        /// Time slices.
        Slices = "slices",
        /// Time in which its own quota kept it from running, in seconds.
        Throttled = "throttled_s",
        /// Memory charged to it at the end of the window, in bytes.
        Memory = "memory_bytes",
        /// Time in which some of its tasks stalled for memory, in seconds.
        StallMemory = "stall_memory_s",
        /// Time in which some of its tasks stalled for I/O, in seconds.
        StallIo = "stall_io_s",
        /// Requests to storage.
        StorageOps = "storage_ops",
        /// Bytes to and from storage.
        StorageBytes = "storage_bytes",
        /// Read- and write-like system calls.
        Calls = "calls",
        /// Bytes of those calls.
        CallBytes = "call_bytes",
        /// Page faults served without I/O.
        FaultsMinor = "faults_minor",
        /// Page faults that needed I/O.
        FaultsMajor = "faults_major",
        /// Bytes that it moved over the way to memory, where the hardware counts them.
        Traffic = "traffic_bytes",
        /// Bytes of the last-level cache that it holds, where the hardware counts them.
        Cache = "cache_bytes",
    }
}

counters! {
    /// Counters of the node, per second of the window unless said otherwise.
    Node {
        /// Processors.
        Cores = "cores",
        /// Processor time spent on anything but idling, in seconds.
        Busy = "busy_s",
        /// Processor time in software interrupts, in seconds.
        Softirq = "softirq_s",
        /// Processor time that a hypervisor gave to others, in seconds.
        Steal = "steal_s",
        /// Time in which some task waited for a processor, in seconds.
        StallCpu = "stall_cpu_s",
        /// Time in which some task stalled for memory, in seconds.
        StallMemory = "stall_memory_s",
        /// Time in which some task stalled for I/O, in seconds.
        StallIo = "stall_io_s",
        /// Finished requests of all disks.
        DiskOps = "disk_ops",
        /// Bytes moved by all disks.
        DiskBytes = "disk_bytes",
        /// Time that requests took, summed over requests, in seconds.
        DiskWait = "disk_wait_s",
        /// Time in which the busiest disk had a request in flight, in seconds.
        DiskBusy = "disk_busy_s",
        /// Bytes over network interfaces, loopback not included.
        NetworkBytes = "network_bytes",
        /// Page faults served without I/O.
        FaultsMinor = "faults_minor",
        /// Page faults that needed I/O.
        FaultsMajor = "faults_major",
        /// Pages looked at by tasks that had to reclaim memory themselves.
        Reclaimed = "reclaim_pages",
        /// Context switches.
        Switches = "switches",
        /// Mean clock of the processors at the end of the window, in hertz.
        Clock = "clock_hz",
        /// Time of a dependent load by the active probe, in seconds.
        ProbeLatency = "probe_latency_s",
        /// Bytes that the active probe copied in a second.
        ProbeCopy = "probe_copy_bytes",
    }
}

/// One window of one workload: rates, with NaN for what is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Of the workload.
    pub own: [f32; Own::COUNT],
    /// Of the node.
    pub node: [f32; Node::COUNT],
    /// Bytes that the workload's processes had fetched from storage or will have written there, by procfs. In no data set, and no
    /// model sees it: it says who uses the disks where version 1 of control groups counts flushed writes for nobody.
    pub moved: f32,
}

impl Default for Sample {
    fn default() -> Self {
        Self { own: [f32::NAN; Own::COUNT], node: [f32::NAN; Node::COUNT], moved: f32::NAN }
    }
}

impl Sample {
    /// A counter of the workload; `None` where it is not known.
    pub fn own(&self, counter: Own) -> Option<f64> {
        Some(f64::from(self.own[counter as usize])).filter(|value| value.is_finite())
    }

    /// A counter of the node; `None` where it is not known.
    pub fn node(&self, counter: Node) -> Option<f64> {
        Some(f64::from(self.node[counter as usize])).filter(|value| value.is_finite())
    }

    /// Bytes to and from storage, by the group's own count or its processes', whichever is more; `None` where neither is known.
    pub fn storage(&self) -> Option<f64> {
        let moved = Some(f64::from(self.moved)).filter(|value| value.is_finite());
        self.own(Own::StorageBytes).into_iter().chain(moved).reduce(f64::max)
    }
}
