//! The catalogue: every metric wattkeeper can measure, one line each. Names, documents, exporters and screens follow from it.
use crate::device::DeviceKind;
use crate::metric::{MetricKind, Row};
use crate::units::Unit;
use serde::{Deserialize, Serialize};

const ACCELERATOR: &[DeviceKind] = &[DeviceKind::Gpu, DeviceKind::Npu];
const PART: &[DeviceKind] = &[DeviceKind::Gpu, DeviceKind::Npu, DeviceKind::Partition];
const LINK: &[DeviceKind] = &[DeviceKind::Link];
const NODE: &[DeviceKind] = &[DeviceKind::Node];
const PACKAGE: &[DeviceKind] = &[DeviceKind::Package];
const CORE: &[DeviceKind] = &[DeviceKind::Core];
const NUMA: &[DeviceKind] = &[DeviceKind::Numa];
const MEMORY_CONTROLLER: &[DeviceKind] = &[DeviceKind::MemoryController];
const DISK: &[DeviceKind] = &[DeviceKind::Disk];
const INTERFACE: &[DeviceKind] = &[DeviceKind::Interface];
const PORT: &[DeviceKind] = &[DeviceKind::Port];
const CGROUP: &[DeviceKind] = &[DeviceKind::Cgroup];
const ZONE: &[DeviceKind] = &[DeviceKind::Zone];
const SENSOR: &[DeviceKind] = &[DeviceKind::Sensor];
const ENGINE: &[DeviceKind] = &[DeviceKind::Engine];
const SOURCE: &[DeviceKind] = &[DeviceKind::Source];

/// Large enough for any byte, event or nanosecond counter; above it a value is a broken register.
const COUNTER_MAX: f64 = 1.9e19;

macro_rules! catalogue {
    ($( $family:literal $unit:ident $kind:ident $low:literal .. $high:tt $subjects:ident $help:literal
        { $( $metric:ident $( $label:ident = $value:literal )* ; )+ } )+) => {
        /// One measurable quantity of one kind of device.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u16)]
        #[allow(missing_docs, reason = "the catalogue's help sentence documents each")]
        pub enum Metric { $($( $metric, )+)+ }

        /// Every metric, in the order of the enum.
        pub const CATALOGUE: &[Row] = &[$($( Row {
            metric: Metric::$metric,
            family: concat!("wattkeeper_", $family),
            labels: &[$( (stringify!($label), $value) ),*],
            unit: Unit::$unit,
            kind: MetricKind::$kind,
            low: $low,
            high: $high,
            subjects: $subjects,
            help: $help,
        }, )+)+];
    };
}

catalogue! {
    // Accelerators
    "accelerator_up" Flag Gauge 0.0..1.0 ACCELERATOR "Whether the driver answers for this accelerator." { Up; }
    "accelerator_utilization_ratio" Ratio Gauge 0.0..1.0 PART "Share of the driver's last sample period in which an engine was busy." {
        Utilization engine = "compute"; EncoderUtilization engine = "encoder"; DecoderUtilization engine = "decoder";
        JpegUtilization engine = "jpeg"; OpticalFlowUtilization engine = "optical_flow"; VectorUtilization engine = "vector"; }
    "accelerator_memory_activity_ratio" Ratio Gauge 0.0..1.0 ACCELERATOR "Share of the driver's last sample period in which device memory was read or written." { MemoryActivity; }
    "accelerator_memory_used_bytes" Bytes Gauge 0.0..1e15 PART "Device memory in use." { MemoryUsed; }
    "accelerator_memory_size_bytes" Bytes Constant 0.0..1e15 PART "Device memory in all." { MemorySize; }
    "accelerator_memory_reserved_bytes" Bytes Gauge 0.0..1e15 PART "Device memory that driver and firmware keep for themselves." { MemoryReserved; }
    "accelerator_bar1_used_bytes" Bytes Gauge 0.0..1e15 ACCELERATOR "Memory mapped through the BAR1 window." { Bar1Used; }
    "accelerator_bar1_size_bytes" Bytes Constant 0.0..1e15 ACCELERATOR "Size of the BAR1 window." { Bar1Size; }
    "accelerator_pipe_active_ratio" Ratio Gauge 0.0..1.0 PART "Share of cycles in which a pipe was at work, over all multiprocessors, by the device's profiling counters." {
        GraphicsActive pipe = "graphics"; SmActive pipe = "sm"; TensorActive pipe = "tensor"; Fp64Active pipe = "fp64"; Fp32Active pipe = "fp32"; Fp16Active pipe = "fp16"; IntegerActive pipe = "integer"; }
    "accelerator_sm_occupancy_ratio" Ratio Gauge 0.0..1.0 PART "Share of the multiprocessors' places for warps that were taken." { SmOccupancy; }
    "accelerator_memory_bandwidth_ratio" Ratio Gauge 0.0..1.0 PART "Share of the device memory's bandwidth that was used, by the device's profiling counters." { DramActive; }
    "accelerator_throughput_bytes_per_second" BytesPerSecond Gauge 0.0..1e14 PART "Data moved over a bus of the device." {
        PcieReceive bus = "pcie" direction = "receive"; PcieTransmit bus = "pcie" direction = "transmit"; LinkReceive bus = "link" direction = "receive"; LinkTransmit bus = "link" direction = "transmit"; }
    "accelerator_power_watts" Watts Gauge 0.0..5000.0 ACCELERATOR "Electric power drawn by the board; the average is the driver's own over about one second." {
        PowerInstant reading = "instant"; PowerAverage reading = "average"; }
    "accelerator_part_power_watts" Watts Gauge 0.0..10000.0 ACCELERATOR "Electric power of a part of the board, or of the module it stands on." { PowerModule part = "module"; PowerMemory part = "memory"; }
    "accelerator_voltage_volts" Volts Gauge 0.0..100.0 ACCELERATOR "Supply voltage of the die." { Voltage; }
    "accelerator_energy_joules_total" Joules Counter 0.0..COUNTER_MAX ACCELERATOR "Energy used since the driver was loaded, by the device's own counter." { Energy; }
    "accelerator_clock_hertz" Hertz Gauge 0.0..1e11 ACCELERATOR "Present clock of a domain; sm stands for the compute units of every vendor." {
        ClockSm domain = "sm"; ClockMemory domain = "memory"; ClockVideo domain = "video"; ClockSoc domain = "soc"; }
    "accelerator_clock_max_hertz" Hertz Constant 0.0..1e11 ACCELERATOR "Highest clock of a domain." {
        ClockSmMax domain = "sm"; ClockMemoryMax domain = "memory"; }
    "accelerator_temperature_celsius" Celsius Gauge -50.0..200.0 ACCELERATOR "Temperature of the die, its hottest spot, the device memory, the voltage regulators, or the board." {
        Temperature sensor = "core"; TemperatureMemory sensor = "memory"; TemperatureHotspot sensor = "hotspot"; TemperatureRegulator sensor = "regulator"; TemperatureBoard sensor = "board"; }
    "accelerator_temperature_margin_celsius" Celsius Gauge -100.0..200.0 ACCELERATOR "How far the die is below the temperature at which it slows down." { TemperatureMargin; }
    "accelerator_temperature_margin_limit_celsius" Celsius Constant -100.0..200.0 ACCELERATOR "What is left of the margin when the device slows down, and when it shuts down." {
        TemperatureMarginSlowdown limit = "slowdown"; TemperatureMarginShutdown limit = "shutdown"; }
    "accelerator_temperature_limit_celsius" Celsius Constant 0.0..200.0 ACCELERATOR "Temperature at which the device slows down, shuts down, or limits its memory." {
        TemperatureSlowdown limit = "slowdown"; TemperatureShutdown limit = "shutdown"; TemperatureMemoryMax limit = "memory_max"; }
    "accelerator_fan_speed_ratio" Ratio Gauge 0.0..2.0 ACCELERATOR "Fan speed as a share of its maximum." { FanSpeed; }
    "accelerator_fan_rpm" Rpm Gauge 0.0..100000.0 ACCELERATOR "Speed of the fan." { FanRpm; }
    "accelerator_clock_event_active" Flag Gauge 0.0..1.0 ACCELERATOR "Whether a reason for a lower clock is in force." {
        EventIdle reason = "idle"; EventAppClocks reason = "application_clocks"; EventSwPowerCap reason = "sw_power_cap"; EventHwSlowdown reason = "hw_slowdown";
        EventSyncBoost reason = "sync_boost"; EventSwThermal reason = "sw_thermal"; EventHwThermal reason = "hw_thermal"; EventPowerBrake reason = "hw_power_brake"; }
    "accelerator_violation_seconds_total" Seconds Counter 0.0..COUNTER_MAX ACCELERATOR "Time for which clocks were held below what was asked, by the driver's own account of why." {
        ViolationPower reason = "power"; ViolationThermal reason = "thermal"; ViolationSyncBoost reason = "sync_boost"; ViolationBoardLimit reason = "board_limit";
        ViolationLowUtilization reason = "low_utilization"; ViolationReliability reason = "reliability"; ViolationAppClocks reason = "application_clocks"; ViolationBaseClocks reason = "base_clocks"; }
    "accelerator_power_limit_watts" Watts Gauge 0.0..5000.0 ACCELERATOR "Power limit: as requested in band, and as enforced after every limiter, out-of-band ones included." {
        PowerLimitRequested limit = "requested"; PowerLimitEnforced limit = "enforced"; }
    "accelerator_power_limit_range_watts" Watts Constant 0.0..5000.0 ACCELERATOR "Smallest, largest and default power limit the device accepts." {
        PowerLimitMin bound = "min"; PowerLimitMax bound = "max"; PowerLimitDefault bound = "default"; }
    "accelerator_ecc_errors_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "Memory errors found by ECC; volatile counts restart with the driver." {
        EccCorrectedVolatile type = "corrected" counter = "volatile"; EccUncorrectedVolatile type = "uncorrected" counter = "volatile";
        EccCorrectedAggregate type = "corrected" counter = "aggregate"; EccUncorrectedAggregate type = "uncorrected" counter = "aggregate"; }
    "accelerator_ecc_location_errors_total" Count Counter 0.0..COUNTER_MAX PART "Memory errors found by ECC since the driver was loaded, by where they were." {
        EccCorrectedL1 type = "corrected" location = "l1_cache"; EccUncorrectedL1 type = "uncorrected" location = "l1_cache";
        EccCorrectedL2 type = "corrected" location = "l2_cache"; EccUncorrectedL2 type = "uncorrected" location = "l2_cache";
        EccCorrectedMemory type = "corrected" location = "device_memory"; EccUncorrectedMemory type = "uncorrected" location = "device_memory";
        EccCorrectedRegisters type = "corrected" location = "register_file"; EccUncorrectedRegisters type = "uncorrected" location = "register_file";
        EccCorrectedTexture type = "corrected" location = "texture"; EccUncorrectedTexture type = "uncorrected" location = "texture";
        EccCorrectedSram type = "corrected" location = "sram"; EccUncorrectedSram type = "uncorrected" location = "sram";
        EccCorrectedGraphics type = "corrected" location = "graphics"; EccUncorrectedGraphics type = "uncorrected" location = "graphics";
        EccCorrectedCopy type = "corrected" location = "copy_engine"; EccUncorrectedCopy type = "uncorrected" location = "copy_engine";
        EccCorrectedHub type = "corrected" location = "memory_hub"; EccUncorrectedHub type = "uncorrected" location = "memory_hub";
        EccCorrectedFabric type = "corrected" location = "fabric"; EccUncorrectedFabric type = "uncorrected" location = "fabric"; }
    "accelerator_ecc_sram_errors_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "Errors found by ECC in on-chip memory in the board's life." { EccUncorrectedSramAggregate type = "uncorrected"; }
    "accelerator_ecc_sram_threshold_exceeded" Flag Gauge 0.0..1.0 ACCELERATOR "Whether the driver counts more uncorrectable errors in on-chip memory than the vendor allows." { SramThreshold; }
    "accelerator_rows_remapped_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "Rows of device memory replaced by spare ones." { RowsRemappedCorrectable cause = "correctable"; RowsRemappedUncorrectable cause = "uncorrectable"; }
    "accelerator_row_remap_pending" Flag Gauge 0.0..1.0 ACCELERATOR "Whether a row is replaced at the next reset." { RowRemapPending; }
    "accelerator_row_remap_failed" Flag Gauge 0.0..1.0 ACCELERATOR "Whether a row could not be replaced." { RowRemapFailed; }
    "accelerator_row_remap_banks" Count Gauge 0.0..1e6 ACCELERATOR "Banks of device memory by how many spare rows they have left." {
        RemapBanksMax spare = "max"; RemapBanksHigh spare = "high"; RemapBanksPartial spare = "partial"; RemapBanksLow spare = "low"; RemapBanksNone spare = "none"; }
    "accelerator_pages_retired_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "Pages of device memory taken out of use." { PagesRetiredSingle cause = "single_bit"; PagesRetiredDouble cause = "double_bit"; }
    "accelerator_page_retirement_pending" Flag Gauge 0.0..1.0 ACCELERATOR "Whether a page is taken out of use at the next reset." { PageRetirementPending; }
    "accelerator_recovery_action" Count Gauge 0.0..100.0 ACCELERATOR "What the driver asks for: 0 nothing, 1 a reset, 2 a reboot of the node, 3 a drain of peers, 4 a drain and a reset." { RecoveryAction; }
    "accelerator_health_code" Count Gauge 0.0..1e6 ACCELERATOR "The device's own verdict on its health: 0 well, larger is worse." { HealthCode; }
    "accelerator_error_codes" Count Gauge 0.0..1e6 ACCELERATOR "Error codes that the device reports now." { ErrorCodes; }
    "accelerator_error_last_code" Count Gauge 0.0..4.3e9 ACCELERATOR "The first of the error codes that the device reports now; absent when there is none." { ErrorLastCode; }
    "accelerator_mode_enabled" Flag Gauge 0.0..1.0 ACCELERATOR "Whether a mode of the device is on." { PersistenceMode mode = "persistence"; EccMode mode = "ecc"; PartitionMode mode = "partition"; }
    "accelerator_fabric_state" Count Gauge 0.0..100.0 ACCELERATOR "Registration with the fabric manager: 1 not begun, 2 under way, 3 done." { FabricState; }
    "accelerator_fabric_status_code" Count Gauge 0.0..1e4 ACCELERATOR "How registration with the fabric manager ended: 0 well, else NVML's code." { FabricStatus; }
    "accelerator_fabric_condition_active" Flag Gauge 0.0..1.0 ACCELERATOR "Whether the fabric manager reports a condition of the device's place in its fabric." {
        FabricDegraded condition = "degraded_bandwidth"; FabricRouteRecovery condition = "route_recovery";
        FabricRouteUnhealthy condition = "route_unhealthy"; FabricAccessTimeout condition = "access_timeout"; }
    "accelerator_inforom_valid" Flag Gauge 0.0..1.0 ACCELERATOR "Whether the board's own memory of its settings and history passes its checksums; asked every hour." { InforomValid; }
    "accelerator_links" Count Gauge 0.0..1000.0 ACCELERATOR "Links to other accelerators: all, and those that are up." { Links state = "all"; LinksUp state = "up"; }
    "accelerator_link_errors_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "Errors on all links of the accelerator together." {
        LinkErrorsCrc type = "crc"; LinkErrorsReplay type = "replay"; LinkErrorsRecovery type = "recovery"; LinkErrorsOther type = "other"; }
    "accelerator_numa_node" Count Constant 0.0..4096.0 ACCELERATOR "NUMA node that the accelerator is attached to." { NumaNode; }
    "accelerator_late_seconds" Seconds Gauge 0.0..1e9 ACCELERATOR "How long the driver's present call for this accelerator has not returned; 0 when all is well." { CallLate; }
    "accelerator_pcie_generation" Count Gauge 0.0..16.0 ACCELERATOR "Present generation of the PCIe link." { PcieGeneration; }
    "accelerator_pcie_width_lanes" Count Gauge 0.0..64.0 ACCELERATOR "Present width of the PCIe link." { PcieWidth; }
    "accelerator_pcie_generation_max" Count Constant 0.0..16.0 ACCELERATOR "Highest PCIe generation that device and slot support." { PcieGenerationMax; }
    "accelerator_pcie_width_max_lanes" Count Constant 0.0..64.0 ACCELERATOR "Widest PCIe link that device and slot support." { PcieWidthMax; }
    "accelerator_pcie_replays_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "PCIe packets sent again." { PcieReplays; }
    "accelerator_xid_errors_total" Count Counter 0.0..COUNTER_MAX ACCELERATOR "XID errors that the driver reported while wattkeeper watched." { XidErrors; }
    "accelerator_xid_last_code" Count Gauge 0.0..100000.0 ACCELERATOR "Code of the last XID error; absent when none was seen." { XidLastCode; }
    "accelerator_processes" Count Gauge 0.0..100000.0 PART "Processes that hold a context on the accelerator." { Processes; }
    "accelerator_process_blocked_seconds" Seconds Gauge 0.0..1e9 ACCELERATOR "How long one of the accelerator's processes has been in uninterruptible sleep at every look; the longest." { ProcessBlocked; }
    "accelerator_performance_state" Count Gauge 0.0..15.0 ACCELERATOR "Performance state, 0 the highest." { PerformanceState; }

    // Links between accelerators
    "link_up" Flag Gauge 0.0..1.0 LINK "Whether the link is up." { LinkUp; }
    "link_speed_bytes_per_second" BytesPerSecond Gauge 0.0..1e13 LINK "Speed of the link in one direction." { LinkSpeed; }
    "link_bytes_total" Bytes Counter 0.0..COUNTER_MAX LINK "Data moved over the link." { LinkReceived direction = "receive"; LinkSent direction = "transmit"; }
    "link_errors_total" Count Counter 0.0..COUNTER_MAX LINK "Errors on the link." {
        LinkCrcFlit type = "crc_flit"; LinkCrcData type = "crc_data"; LinkReplay type = "replay"; LinkRecovery type = "recovery"; LinkEcc type = "ecc"; LinkSymbol type = "symbol";
        LinkMalformed type = "malformed"; LinkOverrun type = "buffer_overrun"; LinkRemote type = "remote"; LinkLocal type = "local"; LinkIntegrity type = "integrity"; LinkDowned type = "link_down"; }
    "link_bit_error_ratio" Ratio Gauge 0.0..1.0 LINK "Share of the link's bits that are wrong: after error correction (effective), and in symbols that it could not mend." {
        LinkEffectiveErrors type = "effective"; LinkSymbolErrors type = "symbol"; }

    // Node
    "node_load" Count Gauge 0.0..1e6 NODE "Mean number of tasks running, runnable or in uninterruptible sleep." {
        Load1 window = "1m"; Load5 window = "5m"; Load15 window = "15m"; }
    "node_uptime_seconds" Seconds Gauge 0.0..1e10 NODE "Time since the system was started." { Uptime; }
    "node_driver_blocked_seconds" Seconds Gauge 0.0..1e9 NODE "How long one of the processes of NVIDIA's driver (nvidia*) has been in uninterruptible sleep at every look; the longest." { DriverBlocked; }
    "node_context_switches_total" Count Counter 0.0..COUNTER_MAX NODE "Context switches on all processors." { ContextSwitches; }
    "node_interrupts_total" Count Counter 0.0..COUNTER_MAX NODE "Interrupts served on all processors." { Interrupts; }
    "node_forks_total" Count Counter 0.0..COUNTER_MAX NODE "Processes and threads created." { Forks; }
    "node_tasks" Count Gauge 0.0..1e7 NODE "Tasks that run or wait for the processor, and tasks blocked on I/O." {
        TasksRunning state = "running"; TasksBlocked state = "blocked"; }
    "node_memory_size_bytes" Bytes Constant 0.0..1e16 NODE "Memory in all." { NodeMemorySize; }
    "node_memory_bytes" Bytes Gauge 0.0..1e16 NODE "Memory by use, as the kernel accounts it." {
        NodeMemoryFree use = "free"; NodeMemoryAvailable use = "available"; NodeMemoryBuffers use = "buffers"; NodeMemoryCached use = "cached";
        NodeMemoryAnonymous use = "anonymous"; NodeMemoryDirty use = "dirty"; NodeMemoryWriteback use = "writeback"; NodeMemorySlab use = "slab"; NodeMemorySlabReclaimable use = "slab_reclaimable"; NodeMemorySlabUnreclaimable use = "slab_unreclaimable";
        NodeMemoryUnevictable use = "unevictable"; NodeMemoryPerCpu use = "per_cpu"; NodeMemoryVmalloc use = "vmalloc";
        NodeMemoryMlocked use = "mlocked"; NodeMemoryShared use = "shared"; NodeMemoryPageTables use = "page_tables"; NodeMemoryKernelStack use = "kernel_stack"; }
    "node_memory_committed_bytes" Bytes Gauge 0.0..1e16 NODE "Memory that has been promised to processes, whether or not they use it." { NodeMemoryCommitted; }
    "node_swap_size_bytes" Bytes Constant 0.0..1e16 NODE "Swap space in all." { SwapSize; }
    "node_swap_free_bytes" Bytes Gauge 0.0..1e16 NODE "Swap space not in use." { SwapFree; }
    "node_huge_pages" Count Gauge 0.0..1e9 NODE "Huge pages of the default size by state." {
        HugePagesTotal state = "total"; HugePagesFree state = "free"; HugePagesReserved state = "reserved"; HugePagesSurplus state = "surplus"; }
    "node_anonymous_huge_pages_bytes" Bytes Gauge 0.0..1e16 NODE "Anonymous memory in transparent huge pages." { AnonymousHugePages; }
    "node_page_faults_total" Count Counter 0.0..COUNTER_MAX NODE "Page faults: minor ones need no I/O." { PageFaultsMinor type = "minor"; PageFaultsMajor type = "major"; }
    "node_pages_total" Count Counter 0.0..COUNTER_MAX NODE "Pages moved by the memory manager." {
        PagesSwappedIn movement = "swapped_in"; PagesSwappedOut movement = "swapped_out"; PagesScannedKswapd movement = "scanned_kswapd"; PagesScannedDirect movement = "scanned_direct";
        PagesStolenKswapd movement = "stolen_kswapd"; PagesStolenDirect movement = "stolen_direct"; PagesMigrated movement = "migrated"; PagesPromoted movement = "thp_collapsed"; }
    "node_allocation_stalls_total" Count Counter 0.0..COUNTER_MAX NODE "Times an allocation had to reclaim memory itself." { AllocationStalls; }
    "node_compaction_stalls_total" Count Counter 0.0..COUNTER_MAX NODE "Times an allocation had to compact memory itself." { CompactionStalls; }
    "node_oom_kills_total" Count Counter 0.0..COUNTER_MAX NODE "Processes killed for want of memory." { OomKills; }
    "node_pressure_stall_seconds_total" Seconds Counter 0.0..COUNTER_MAX NODE "Time in which some, or all, tasks stalled for want of a resource." {
        PressureCpuSome resource = "cpu" scope = "some"; PressureCpuFull resource = "cpu" scope = "full"; PressureMemorySome resource = "memory" scope = "some";
        PressureMemoryFull resource = "memory" scope = "full"; PressureIoSome resource = "io" scope = "some"; PressureIoFull resource = "io" scope = "full"; }
    "node_pressure_ratio" Ratio Gauge 0.0..1.0 NODE "Share of the last 10 seconds in which some, or all, tasks stalled for want of a resource." {
        PressureCpuSome10 resource = "cpu" scope = "some"; PressureCpuFull10 resource = "cpu" scope = "full"; PressureMemorySome10 resource = "memory" scope = "some";
        PressureMemoryFull10 resource = "memory" scope = "full"; PressureIoSome10 resource = "io" scope = "some"; PressureIoFull10 resource = "io" scope = "full"; }

    "kernel_messages_total" Count Counter 0.0..COUNTER_MAX NODE "Messages in the kernel's log since wattkeeper watches: by what they tell of, others, and those lost or skipped in a flood." {
        KernelXid message = "xid"; KernelSxid message = "sxid"; KernelMachineCheck message = "machine_check"; KernelPcieAer message = "pcie_aer";
        KernelOutOfMemory message = "out_of_memory"; KernelHungTask message = "hung_task"; KernelOther message = "other"; KernelDropped message = "dropped"; }

    // Packages and cores
    "package_throttles_total" Count Counter 0.0..COUNTER_MAX PACKAGE "Times the package slowed down for heat." { PackageThrottles; }
    "core_time_seconds_total" Seconds Counter 0.0..COUNTER_MAX CORE "Processor time by what it was spent on." {
        CoreUser mode = "user"; CoreNice mode = "nice"; CoreSystem mode = "system"; CoreIdle mode = "idle"; CoreIowait mode = "iowait";
        CoreIrq mode = "irq"; CoreSoftirq mode = "softirq"; CoreSteal mode = "steal"; CoreGuest mode = "guest"; }
    "core_frequency_hertz" Hertz Gauge 0.0..2e10 CORE "Present clock of the core." { CoreFrequency; }
    "core_frequency_ratio" Ratio Gauge 0.0..16.0 CORE "Present clock of the core, of its base clock, or of its highest where no base is told." { CoreFrequencyRatio; }
    "core_run_delay_seconds_total" Seconds Counter 0.0..COUNTER_MAX CORE "Time that runnable tasks waited for this core." { CoreRunDelay; }
    "core_timeslices_total" Count Counter 0.0..COUNTER_MAX CORE "Time slices run on this core." { CoreTimeslices; }
    "core_throttles_total" Count Counter 0.0..COUNTER_MAX CORE "Times the core slowed down for heat." { CoreThrottles; }
    "core_events_total" Count Counter 0.0..COUNTER_MAX CORE "Performance counter, scaled by the time its group was on the hardware." {
        CoreCycles event = "cycles"; CoreInstructions event = "instructions"; CoreCacheReferences event = "cache_references"; CoreCacheMisses event = "cache_misses";
        CoreBranches event = "branches"; CoreBranchMisses event = "branch_misses"; CoreStalledFrontend event = "stalled_cycles_frontend"; CoreStalledBackend event = "stalled_cycles_backend";
        CoreReferenceCycles event = "reference_cycles";
        CoreSwitches event = "context_switches"; CoreMigrations event = "migrations"; CoreFaults event = "page_faults"; }
    "core_events_scheduled_ratio" Ratio Gauge 0.0..1.0 CORE "Share of time in which a group of performance counters was on the hardware." {
        CoreHardwareScheduled group = "hardware"; CoreSoftwareScheduled group = "software"; }
    "cache_domain_traffic_bytes_total" Bytes Counter 0.0..COUNTER_MAX CORE "Data moved between the last-level cache of the domain of which the core is the first and memory, as resctrl counts it: all, and from and to the domain's own memory." {
        DomainTraffic reach = "all"; DomainTrafficLocal reach = "local"; }
    "cache_domain_occupancy_bytes" Bytes Gauge 0.0..1e12 CORE "What is in the last-level cache of the domain of which the core is the first, as resctrl counts it." { DomainCache; }
    "probe_memory_latency_seconds" Seconds Gauge 0.0..1.0 CORE "Time from a load to its value where each load waits for the one before, as the active probe of the cache domain of which the core is the first found it." { ProbeLatency; }
    "probe_copy_bytes_per_second" BytesPerSecond Gauge 0.0..1e13 CORE "Bytes that one processor of the cache domain copied a second, as the active probe found it." { ProbeCopy; }
    "probe_seconds_total" Seconds Counter 0.0..COUNTER_MAX CORE "Processor time that the active probe of the cache domain has taken." { ProbeSeconds; }
    "probe_skips_total" Count Counter 0.0..COUNTER_MAX CORE "Beats on which the active probe measured nothing: no processor of the cache domain was idle, or something else ran meanwhile." {
        ProbeSkipsBusy reason = "busy"; ProbeSkipsPreempted reason = "preempted"; }

    // Memory
    "numa_memory_size_bytes" Bytes Constant 0.0..1e16 NUMA "Memory of the NUMA node." { NumaMemorySize; }
    "numa_memory_bytes" Bytes Gauge 0.0..1e16 NUMA "Memory of the NUMA node by use." { NumaMemoryFree use = "free"; NumaMemoryUsed use = "used"; NumaMemoryFile use = "file"; NumaMemoryAnonymous use = "anonymous"; }
    "numa_allocations_total" Count Counter 0.0..COUNTER_MAX NUMA "Page allocations by where they were wanted and where they landed." {
        NumaHit outcome = "hit"; NumaMiss outcome = "miss"; NumaForeign outcome = "foreign"; NumaInterleave outcome = "interleave"; NumaLocal outcome = "local"; NumaOther outcome = "other"; }
    "memory_controller_errors_total" Count Counter 0.0..COUNTER_MAX MEMORY_CONTROLLER "Memory errors found by EDAC." { EdacCorrected type = "corrected"; EdacUncorrected type = "uncorrected"; }

    // Disks, network
    "disk_operations_total" Count Counter 0.0..COUNTER_MAX DISK "Finished requests." { DiskReads direction = "read"; DiskWrites direction = "write"; }
    "disk_bytes_total" Bytes Counter 0.0..COUNTER_MAX DISK "Data moved." { DiskReadBytes direction = "read"; DiskWrittenBytes direction = "write"; }
    "disk_wait_seconds_total" Seconds Counter 0.0..COUNTER_MAX DISK "Time that requests took, summed over requests." { DiskReadWait direction = "read"; DiskWriteWait direction = "write"; }
    "disk_busy_seconds_total" Seconds Counter 0.0..COUNTER_MAX DISK "Time in which at least one request was in flight." { DiskBusy; }
    "disk_queue" Count Gauge 0.0..1e7 DISK "Requests in flight." { DiskQueue; }
    "disk_space_size_bytes" Bytes Constant 0.0..1e18 DISK "Size of the file system on it." { DiskSpaceSize; }
    "disk_space_available_bytes" Bytes Gauge 0.0..1e18 DISK "Space of the file system that unprivileged users can still fill." { DiskSpaceAvailable; }
    "interface_up" Flag Gauge 0.0..1.0 INTERFACE "Whether the link is up." { InterfaceUp; }
    "interface_speed_bytes_per_second" BytesPerSecond Constant 0.0..1e13 INTERFACE "Speed the link was negotiated at." { InterfaceSpeed; }
    "interface_bytes_total" Bytes Counter 0.0..COUNTER_MAX INTERFACE "Data moved." { InterfaceReceived direction = "receive"; InterfaceSent direction = "transmit"; }
    "interface_packets_total" Count Counter 0.0..COUNTER_MAX INTERFACE "Packets moved." { InterfacePacketsReceived direction = "receive"; InterfacePacketsSent direction = "transmit"; }
    "interface_errors_total" Count Counter 0.0..COUNTER_MAX INTERFACE "Packets lost to errors." { InterfaceErrorsReceived direction = "receive"; InterfaceErrorsSent direction = "transmit"; }
    "interface_drops_total" Count Counter 0.0..COUNTER_MAX INTERFACE "Packets dropped for want of room." { InterfaceDropsReceived direction = "receive"; InterfaceDropsSent direction = "transmit"; }
    "port_up" Flag Gauge 0.0..1.0 PORT "Whether the InfiniBand port is active." { PortUp; }
    "port_speed_bytes_per_second" BytesPerSecond Constant 0.0..1e13 PORT "Rate of the InfiniBand port." { PortSpeed; }
    "port_bytes_total" Bytes Counter 0.0..COUNTER_MAX PORT "Data moved." { PortReceived direction = "receive"; PortSent direction = "transmit"; }
    "port_packets_total" Count Counter 0.0..COUNTER_MAX PORT "Packets moved." { PortPacketsReceived direction = "receive"; PortPacketsSent direction = "transmit"; }
    "port_errors_total" Count Counter 0.0..COUNTER_MAX PORT "Errors and incidents of the InfiniBand port." {
        PortSymbolErrors type = "symbol"; PortReceiveErrors type = "receive"; PortTransmitDiscards type = "transmit_discard"; PortLinkDowned type = "link_downed"; PortLinkRecovered type = "link_recovery"; }
    "port_transmit_wait_total" Count Counter 0.0..COUNTER_MAX PORT "Ticks in which the port had data to send and no credits." { PortTransmitWait; }

    // Control groups
    "cgroup_cpu_seconds_total" Seconds Counter 0.0..COUNTER_MAX CGROUP "Processor time used by the group." { CgroupCpu mode = "all"; CgroupCpuUser mode = "user"; CgroupCpuSystem mode = "system"; }
    "cgroup_cpu_periods_total" Count Counter 0.0..COUNTER_MAX CGROUP "Quota periods that passed, and those in which the group was throttled." { CgroupPeriods outcome = "all"; CgroupPeriodsThrottled outcome = "throttled"; }
    "cgroup_cpu_throttled_seconds_total" Seconds Counter 0.0..COUNTER_MAX CGROUP "Time in which the group was throttled." { CgroupThrottled; }
    "cgroup_cpu_quota_cores" Count Gauge 0.0..1e6 CGROUP "Processor time that the group may use, in cores; absent where it has no quota." { CgroupQuota; }
    "cgroup_memory_bytes" Bytes Gauge 0.0..1e16 CGROUP "Memory charged to the group." { CgroupMemory; }
    "cgroup_memory_use_bytes" Bytes Gauge 0.0..1e16 CGROUP "Memory charged to the group by use; file holds shared memory as well, and version 1 does not count slabs." {
        CgroupAnonymous use = "anonymous"; CgroupFile use = "file"; CgroupShared use = "shared";
        CgroupSlabReclaimable use = "slab_reclaimable"; CgroupSlabUnreclaimable use = "slab_unreclaimable"; }
    "cgroup_swap_bytes" Bytes Gauge 0.0..1e16 CGROUP "Swap space that the group uses." { CgroupSwap; }
    "cgroup_memory_limit_bytes" Bytes Constant 0.0..1e16 CGROUP "Memory limit of the group; absent when there is none." { CgroupMemoryLimit; }
    "cgroup_oom_kills_total" Count Counter 0.0..COUNTER_MAX CGROUP "Processes of the group killed for want of memory." { CgroupOomKills; }
    "cgroup_pids" Count Gauge 0.0..1e7 CGROUP "Processes and threads in the group." { CgroupPids; }
    "cgroup_pressure_stall_seconds_total" Seconds Counter 0.0..COUNTER_MAX CGROUP "Time in which some tasks of the group stalled for want of a resource." {
        CgroupPressureCpu resource = "cpu"; CgroupPressureMemory resource = "memory"; CgroupPressureIo resource = "io"; }
    "cgroup_run_seconds_total" Seconds Counter 0.0..COUNTER_MAX CGROUP "Time in which tasks of the group ran, since the group was met; absent for a group with too many tasks or with groups below it." { CgroupRun; }
    "cgroup_run_delay_seconds_total" Seconds Counter 0.0..COUNTER_MAX CGROUP "Time in which the same tasks could have run and waited for a processor." { CgroupRunDelay; }
    "cgroup_timeslices_total" Count Counter 0.0..COUNTER_MAX CGROUP "Times that the same tasks were given a processor." { CgroupTimeslices; }
    "cgroup_storage_bytes_total" Bytes Counter 0.0..COUNTER_MAX CGROUP "Data that the group moved from and to block devices." { CgroupStorageRead direction = "read"; CgroupStorageWritten direction = "write"; }
    "cgroup_storage_operations_total" Count Counter 0.0..COUNTER_MAX CGROUP "Requests of the group to block devices." { CgroupStorageReads direction = "read"; CgroupStorageWrites direction = "write"; }
    "cgroup_calls_total" Count Counter 0.0..COUNTER_MAX CGROUP "System calls of the group's processes that read or write, since the group was met; absent for a group with too many processes or with groups below it." {
        CgroupReadCalls direction = "read"; CgroupWriteCalls direction = "write"; }
    "cgroup_call_bytes_total" Bytes Counter 0.0..COUNTER_MAX CGROUP "Data moved by the same calls, whether or not a device was needed." { CgroupReadCallBytes direction = "read"; CgroupWriteCallBytes direction = "write"; }
    "cgroup_process_storage_bytes_total" Bytes Counter 0.0..COUNTER_MAX CGROUP "Data that the same processes had to fetch from block devices, had written to them sooner or later, and dropped again before that happened (cancelled)." {
        CgroupProcessRead direction = "read"; CgroupProcessWritten direction = "write"; CgroupProcessCancelled direction = "cancelled"; }
    "cgroup_page_faults_total" Count Counter 0.0..COUNTER_MAX CGROUP "Page faults of the group; a major one had to read from a device." { CgroupFaultsMinor type = "minor"; CgroupFaultsMajor type = "major"; }
    "cgroup_events_total" Count Counter 0.0..COUNTER_MAX CGROUP "Performance counter of the group and those below it, scaled by the time it was on the hardware; absent for a group that is not counted." {
        CgroupCycles event = "cycles"; CgroupInstructions event = "instructions"; CgroupCacheMisses event = "cache_misses"; CgroupReferenceCycles event = "reference_cycles"; }
    "cgroup_events_scheduled_ratio" Ratio Gauge 0.0..1.0 CGROUP "Share of the group's own time in which its performance counters were on the hardware." { CgroupEventsScheduled; }
    "cgroup_memory_traffic_bytes_total" Bytes Counter 0.0..COUNTER_MAX CGROUP "Data that the group moved between the last-level caches and memory, as resctrl counts it; absent for a group that no monitoring group stands for." {
        CgroupTraffic reach = "all"; CgroupTrafficLocal reach = "local"; }
    "cgroup_cache_occupancy_bytes" Bytes Gauge 0.0..1e12 CGROUP "What of the last-level caches the group holds, as resctrl counts it." { CgroupCache; }

    // Energy and sensors of the host
    "zone_energy_joules_total" Joules Counter 0.0..COUNTER_MAX ZONE "Energy used by a RAPL domain, with wraps undone." { ZoneEnergy; }
    "zone_power_limit_watts" Watts Gauge 0.0..5000.0 ZONE "Power limit of a RAPL domain." { ZoneLimitLong constraint = "long_term"; ZoneLimitShort constraint = "short_term"; }
    "sensor_temperature_celsius" Celsius Gauge -60.0..250.0 SENSOR "Temperature at a sensor of the host." { SensorTemperature; }
    "sensor_temperature_limit_celsius" Celsius Constant -60.0..300.0 SENSOR "Temperature that the sensor's chip calls critical." { SensorTemperatureCritical; }
    "sensor_fan_rpm" Rpm Gauge 0.0..100000.0 SENSOR "Speed of a fan." { SensorFan; }
    "sensor_power_watts" Watts Gauge 0.0..100000.0 SENSOR "Power at a sensor of the host." { SensorPower; }

    // Inference engines
    "engine_tokens_total" Count Counter 0.0..COUNTER_MAX ENGINE "Tokens that an inference engine processed, by its own count: of prompts, and generated." {
        EngineTokensPrompt phase = "prompt"; EngineTokensGenerated phase = "generation"; }
    "engine_requests" Count Gauge 0.0..1e9 ENGINE "Requests that an inference engine has, by its own count: being worked on, and waiting." {
        EngineRequestsRunning state = "running"; EngineRequestsWaiting state = "waiting"; }
    "engine_steps_total" Count Counter 0.0..COUNTER_MAX ENGINE "Steps that an inference engine took, by its own count: tokens after the first of each request, or what the operator's own metric counts." { EngineSteps; }
    "engine_step_seconds_total" Seconds Counter 0.0..COUNTER_MAX ENGINE "Time that the same steps took, summed over requests." { EngineStepTime; }
    "engine_energy_joules_total" Joules Counter 0.0..COUNTER_MAX ENGINE "Energy of the accelerators that an inference engine has to itself, while its tokens were counted, since the start." { EngineEnergy; }
    "engine_energy_per_token_joules" Joules Gauge 0.0..1e9 ENGINE "Energy for each generated token over about the last minute, prompts and idling included; absent when tokens or energy are not known." { EngineEnergyPerToken; }

    // Sources
    "source_up" Flag Gauge 0.0..1.0 SOURCE "Whether the source answered on this beat." { SourceUp; }
    "source_duration_seconds" Seconds Gauge 0.0..1e5 SOURCE "How long the last collection took." { SourceDuration; }
    "source_late_seconds" Seconds Gauge 0.0..1e9 SOURCE "How long the present collection has been past its deadline." { SourceLate; }
    "source_collections_total" Count Counter 0.0..COUNTER_MAX SOURCE "Collections that ended well." { SourceCollections; }
    "source_reopens_total" Count Counter 0.0..COUNTER_MAX SOURCE "Times the source was opened anew." { SourceReopens; }
    "source_driver_calls" Count Gauge 0.0..1e9 SOURCE "Calls into the driver or its library that the last collection made." { SourceCalls; }
    "source_driver_calls_total" Count Counter 0.0..COUNTER_MAX SOURCE "Calls into the driver or its library since the start." { SourceCallsAll; }
    "source_readings" Count Gauge 0.0..1e6 SOURCE "Readings of the last collection: with a value, and absent." { SourceReadings outcome = "value"; SourceAbsences outcome = "absent"; }
}

pub(crate) static COLUMN: [[u16; Metric::COUNT]; DeviceKind::ALL.len()] = number_columns();

const fn number_columns() -> [[u16; Metric::COUNT]; DeviceKind::ALL.len()] {
    let mut table = [[u16::MAX; Metric::COUNT]; DeviceKind::ALL.len()];
    let mut kind = 0;
    while kind < DeviceKind::ALL.len() {
        let mut column = 0;
        let mut metric = 0;
        while metric < Metric::COUNT {
            if has_subject(&CATALOGUE[metric], kind) {
                table[kind][metric] = column;
                column += 1;
            }
            metric += 1;
        }
        kind += 1;
    }
    table
}

const fn has_subject(row: &Row, kind: usize) -> bool {
    let mut position = 0;
    while position < row.subjects.len() {
        if row.subjects[position] as usize == kind {
            return true;
        }
        position += 1;
    }
    false
}

/// The metrics that devices of a kind can have, in column order.
pub fn columns(kind: DeviceKind) -> &'static [Metric] {
    static LISTS: std::sync::LazyLock<Vec<Vec<Metric>>> = std::sync::LazyLock::new(|| {
        let of_kind = |kind: &DeviceKind| {
            CATALOGUE.iter().filter(|r| r.subjects.contains(kind)).map(|r| r.metric).collect()
        };
        DeviceKind::ALL.iter().map(of_kind).collect()
    });
    &LISTS[kind as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::FAMILIES;
    use crate::frame::{Absence, Reading};
    use std::collections::BTreeMap;

    fn check_name(name: &str, unit: Unit, kind: MetricKind) {
        assert!(name.starts_with("wattkeeper_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        let stem = name.strip_suffix("_total").unwrap_or(name);
        assert_eq!(kind == MetricKind::Counter, name.ends_with("_total"), "{name}: _total is for counters");
        assert!(stem.ends_with(unit.suffix()), "{name} must end in its unit {:?}", unit.suffix());
    }

    #[test]
    fn names_follow_the_convention() {
        for row in CATALOGUE {
            check_name(row.family, row.unit, row.kind);
            // Every series has these two already, and Prometheus refuses a label that is given twice.
            let taken = row.labels.iter().any(|(name, _)| matches!(*name, "device" | "kind"));
            assert!(!taken, "{}: a label that every series has", row.family);
            assert!(
                row.help.ends_with('.') && !row.subjects.is_empty() && row.low < row.high,
                "{}",
                row.family
            );
        }
        for family in FAMILIES {
            check_name(family.name, family.unit, family.kind);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }

    #[test]
    fn every_metric_is_one_series_name_and_families_are_contiguous() {
        let mut seen = BTreeMap::new();
        let mut families: Vec<&str> = Vec::new();
        for row in CATALOGUE {
            assert_eq!(row.metric.row().metric, row.metric);
            assert!(seen.insert((row.family, row.labels), row.metric).is_none(), "{} twice", row.metric);
            if families.last() != Some(&row.family) {
                assert!(!families.contains(&row.family), "{} is split", row.family);
                families.push(row.family);
            }
        }
        assert!(FAMILIES.iter().all(|f| !families.contains(&f.name)));
    }

    #[test]
    fn columns_number_the_metrics_of_a_kind() {
        for kind in DeviceKind::ALL {
            for (position, metric) in columns(kind).iter().enumerate() {
                assert_eq!(metric.column(kind), Some(position));
            }
        }
        assert_eq!(Metric::Load1.column(DeviceKind::Gpu), None);
    }

    #[test]
    fn what_cannot_be_true_is_implausible() {
        assert_eq!(Metric::PowerInstant.reading(700.0), Reading::Value(700.0));
        for lie in [f64::NAN, f64::INFINITY, -1.0, 4_294_967.0] {
            assert_eq!(Metric::PowerInstant.reading(lie), Reading::Absent(Absence::Implausible));
        }
    }
}
