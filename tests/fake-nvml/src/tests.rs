//! The library through the production loader: what it says, what it obeys, and its bad days.
use crate::{Control, Group};
use nvml_wrapper::enum_wrappers::device::{Clock, MemoryError, TemperatureSensor};
use nvml_wrapper::enum_wrappers::device::{EccCounter, TemperatureThreshold};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings as abi;
use sim::{Fault, Profile, Workload};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The library as the production collector loads it, over a node in memory that lives as long as the test process.
struct Bench {
    control: Control,
    nvml: Nvml,
    _alone: MutexGuard<'static, ()>,
}

fn library() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("libfake_nvml.so");
    assert!(path.exists(), "{} is missing: run `cargo test -p fake-nvml`", path.display());
    path
}

fn open_library() -> Nvml {
    Nvml::builder().lib_path(library().as_os_str()).init().unwrap()
}

/// The file of the node that this process's libraries share.
fn node_file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        use std::os::fd::IntoRawFd as _;
        let memory = rustix::fs::memfd_create("node", rustix::fs::MemfdFlags::empty()).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", memory.into_raw_fd()));
        #[allow(
            clippy::disallowed_methods,
            reason = "the library under test takes its file from there, as in production"
        )]
        // SAFETY: set once, under the lock that every Rust reader of the environment takes; nothing here reads it from C.
        unsafe {
            std::env::set_var(crate::world::VARIABLE, &path);
        }
        path
    })
}

/// A fresh node of eight idle boards whose time stands still.
fn bench() -> Bench {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let control = Control::open(node_file()).unwrap();
    control.renew(&sim::profile::H100, 8, 1);
    control.freeze();
    Bench { control, nvml: open_library(), _alone: alone }
}

impl Bench {
    fn device(&self, index: u32) -> Device<'_> {
        self.nvml.device_by_index(index).unwrap()
    }

    fn work(&self, board: usize, workload: &str) {
        self.control.load(board, workload).unwrap();
        self.control.advance(Duration::from_secs(5));
    }
}

#[test]
fn structures_have_the_sizes_of_the_header() {
    let sizes = [
        (size_of::<abi::nvmlMemory_v2_t>(), 40),
        (size_of::<abi::nvmlProcessInfo_t>(), 24),
        (size_of::<abi::nvmlFieldValue_t>(), 40),
        (size_of::<abi::nvmlEventData_t>(), 32),
        (size_of::<abi::nvmlPciInfo_t>(), 68),
        (size_of::<abi::nvmlUtilization_t>(), 8),
        (size_of::<abi::nvmlGpmMetric_t>(), 40),
        (size_of::<abi::nvmlProcessUtilizationSample_t>(), 32),
        (size_of::<abi::nvmlRowRemapperHistogramValues_t>(), 20),
        (size_of::<abi::nvmlMarginTemperature_t>(), 8),
        (size_of::<abi::nvmlViolationTime_t>(), 16),
        (size_of::<abi::nvmlGpuFabricInfo_v2_t>(), 36),
    ];
    assert!(sizes.iter().all(|(found, expected)| found == expected), "{sizes:?}");
}

#[test]
fn a_board_reads_as_the_engine_has_it() {
    let bench = bench();
    bench.work(2, "training");
    bench.control.ecc(2, 3).unwrap();
    bench.control.ecc_corrected(2, 5).unwrap();
    let (node, device) = (bench.control.node(), bench.device(2));
    let board = &node.boards()[2];
    let milli = |value: f64| (value * 1e3) as u32;
    assert_eq!(device.uuid().unwrap(), node.uuid(2));
    assert_eq!(device.name().unwrap(), sim::profile::H100.model);
    assert_eq!(device.power_usage().unwrap(), milli(board.sensor.average_w()));
    assert_eq!(device.total_energy_consumption().unwrap(), (board.energy_j * 1e3) as u64);
    assert_eq!(device.utilization_rates().unwrap().gpu, (board.busy * 100.0) as u32);
    assert_eq!(device.memory_info().unwrap().used, board.memory_used_bytes);
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), board.temperature_c as u32);
    assert_eq!(device.temperature_threshold(TemperatureThreshold::Slowdown).unwrap(), 87);
    assert_eq!(device.clock_info(Clock::SM).unwrap(), (board.clock_hz / 1e6) as u32);
    assert_eq!(device.max_clock_info(Clock::Memory).unwrap(), 2619);
    assert_eq!(device.current_throttle_reasons().unwrap().bits(), board.reasons);
    assert_eq!(device.supported_throttle_reasons().unwrap().bits() & board.reasons, board.reasons);
    for (kind, count) in [(MemoryError::Corrected, 5), (MemoryError::Uncorrected, 3)] {
        assert_eq!(device.total_ecc_errors(kind, EccCounter::Volatile).unwrap(), count);
    }
    assert_eq!((device.current_pcie_link_gen().unwrap(), device.current_pcie_link_width().unwrap()), (5, 16));
    assert_eq!(device.running_compute_processes().unwrap().len(), 1);
    assert!(bench.device(3).running_compute_processes().unwrap().is_empty());
    assert!(matches!(device.fan_speed(0), Err(NvmlError::NotSupported)));
    assert_eq!(device.mig_mode().unwrap().current, 0);
}

#[test]
fn tenants_of_a_board_are_processes_whose_shares_are_told_in_turns_and_not_under_mps() {
    let bench = bench();
    for (place, tenant) in ["compute", "press-memory"].into_iter().enumerate() {
        bench.control.seat(1, place, tenant, 1.0).unwrap();
    }
    bench.control.advance(Duration::from_secs(5));
    let device = bench.device(1);
    assert_eq!(device.running_compute_processes().unwrap().len(), 2);
    let shares: Vec<u32> =
        device.process_utilization_stats(None).unwrap().iter().map(|s| s.sm_util).collect();
    assert!(shares.len() == 2 && shares.iter().all(|share| (40..=55).contains(share)), "{shares:?}");
    bench.control.mps(1, true).unwrap();
    assert!(matches!(device.process_utilization_stats(None), Err(NvmlError::NotFound)));
    bench.control.seat(1, 0, "nobody", 0.0).unwrap();
    assert_eq!(device.running_compute_processes().unwrap().len(), 1);
}

#[test]
fn a_board_is_found_by_position_identity_and_place() {
    let bench = bench();
    let device = bench.device(6);
    let (uuid, pci) = (device.uuid().unwrap(), device.pci_info().unwrap());
    assert_eq!(bench.nvml.device_by_uuid(uuid).unwrap().index().unwrap(), 6);
    for place in [&pci.bus_id, &pci.bus_id[4..]] {
        assert_eq!(bench.nvml.device_by_pci_bus_id(place).unwrap().index().unwrap(), 6);
    }
    assert!(matches!(bench.nvml.device_by_uuid("GPU-none"), Err(NvmlError::NotFound)));
    assert!(matches!(bench.nvml.device_by_index(8), Err(NvmlError::InvalidArg)));
}

#[test]
fn a_limit_lowers_true_power_and_outlives_the_library() {
    let bench = bench();
    bench.work(1, "training");
    assert!(bench.control.true_power(1).unwrap() > 500.0);
    bench.device(1).set_power_management_limit(300_000).unwrap();
    bench.control.advance(Duration::from_secs(2));
    assert!(bench.control.true_power(1).unwrap() <= 301.0);
    let Bench { control, nvml, _alone } = bench;
    drop(nvml);
    let again = open_library();
    let device = again.device_by_index(1).unwrap();
    assert_eq!(device.power_management_limit().unwrap(), 300_000);
    control.out_of_band(1, 250.0).unwrap();
    assert_eq!(device.enforced_power_limit().unwrap(), 250_000, "the tighter limit is what is enforced");
    assert_eq!(device.power_management_limit().unwrap(), 300_000);
}

#[test]
fn setters_refuse_what_a_driver_refuses() {
    let bench = bench();
    let mut device = bench.device(0);
    for limit in [199_999, 700_001, 0, u32::MAX] {
        assert!(matches!(device.set_power_management_limit(limit), Err(NvmlError::InvalidArg)), "{limit}");
    }
    // SAFETY: the handle belongs to this session.
    let lock = |min: u32, max: u32| unsafe {
        (bench.nvml.lib().nvmlDeviceSetGpuLockedClocks.as_ref().unwrap())(bench.device(0).handle(), min, max)
    };
    assert_eq!((lock(900, 600), lock(0, 0), lock(210, 0xffff_ff01)), (2, 2, 2));
    assert_eq!(bench.control.node().boards()[0].locked_hz, 0.0, "a refused lock changes nothing");
    assert_eq!(lock(210, 900), 0);
    bench.control.read_only(true).unwrap();
    assert!(matches!(device.set_power_management_limit(300_000), Err(NvmlError::NoPermission)));
    assert_eq!(bench.control.power_limit(0).unwrap(), 700.0);
}

#[test]
fn a_locked_clock_saves_power_where_a_limit_cannot() {
    let bench = bench();
    bench.work(4, "decode");
    let before = bench.control.true_power(4).unwrap();
    let mut device = bench.device(4);
    device.set_power_management_limit(400_000).unwrap();
    bench.control.advance(Duration::from_secs(2));
    assert!((bench.control.true_power(4).unwrap() / before - 1.0).abs() < 0.15);
    // SAFETY: the handle belongs to this session.
    let locked = unsafe {
        (bench.nvml.lib().nvmlDeviceSetGpuLockedClocks.as_ref().unwrap())(device.handle(), 210, 990)
    };
    assert_eq!(locked, 0);
    bench.control.advance(Duration::from_secs(2));
    assert!(bench.control.true_power(4).unwrap() < 0.8 * before);
    assert!(device.clock_info(Clock::SM).unwrap() <= 990);
}

fn field(bench: &Bench, number: u32, scope: u32) -> abi::nvmlFieldValue_t {
    // SAFETY: plain old data, for which zeroes are valid.
    let mut value: abi::nvmlFieldValue_t = unsafe { std::mem::zeroed() };
    (value.fieldId, value.scopeId) = (number, scope);
    let call = bench.nvml.lib().nvmlDeviceGetFieldValues.as_ref().unwrap();
    // SAFETY: the handle belongs to this session; there is one entry, as said.
    assert_eq!(unsafe { call(bench.device(3).handle(), 1, &mut value) }, 0);
    value
}

#[test]
fn fields_carry_their_own_code_type_and_time() {
    let bench = bench();
    bench.work(3, "prefill");
    let sensor = bench.control.node().boards()[3].sensor;
    // SAFETY: every member is valid for any bits.
    let unsigned = |number| unsafe { field(&bench, number, 0).value.uiVal };
    assert_eq!(unsigned(186), (sensor.instant_w() * 1e3) as u32);
    assert_eq!(unsigned(185), (sensor.average_w() * 1e3) as u32);
    assert_eq!([187, 188, 189, 190, 192].map(unsigned), [200_000, 700_000, 700_000, 700_000, 700_000]);
    assert_eq!(field(&bench, 186, 1).nvmlReturn, 3, "there is no module with a power of its own");
    assert_eq!(field(&bench, 99, 0).nvmlReturn, 3);
    let shutdown = field(&bench, 193, 0);
    // SAFETY: as above.
    assert_eq!((shutdown.valueType, unsafe { shutdown.value.siVal }), (5, -7));
    assert_eq!(field(&bench, 83, 0).valueType, 3);
    assert!(shutdown.timestamp > 1_600_000_000_000_000, "microseconds since 1970");
}

#[test]
fn a_lost_board_answers_that_it_is_lost_and_still_counts() {
    let bench = bench();
    let device = bench.device(5);
    bench.control.lose(5).unwrap();
    assert!(matches!(device.power_usage(), Err(NvmlError::GpuLost)));
    assert!(matches!(bench.nvml.device_by_index(5), Err(NvmlError::GpuLost)));
    assert_eq!(bench.nvml.device_count().unwrap(), 8);
    assert!(bench.device(4).power_usage().is_ok());
    bench.control.give_back(5).unwrap();
    assert!(device.power_usage().is_ok());
}

#[test]
fn only_the_function_that_was_told_to_fails() {
    let bench = bench();
    let device = bench.device(0);
    bench.control.fail("nvmlDeviceGetPowerUsage", 999).unwrap();
    assert!(matches!(device.power_usage(), Err(NvmlError::Unknown)));
    assert!(device.total_energy_consumption().is_ok());
    bench.control.fail("nvmlDeviceGetPowerUsage", 0).unwrap();
    assert!(device.power_usage().is_ok());
}

/// An event set of one board.
struct Events<'a> {
    bench: &'a Bench,
    set: abi::nvmlEventSet_t,
}

impl<'a> Events<'a> {
    fn of(bench: &'a Bench, board: u32) -> Self {
        let (lib, mut set) = (bench.nvml.lib(), std::ptr::null_mut());
        // SAFETY: the pointers are valid for the writes, handle and set belong to this session.
        let made = unsafe {
            let made = (lib.nvmlEventSetCreate.as_ref().unwrap())(&mut set);
            made.max((lib.nvmlDeviceRegisterEvents.as_ref().unwrap())(bench.device(board).handle(), 8, set))
        };
        assert_eq!(made, 0);
        Self { bench, set }
    }

    /// The next XID error, or the code of the call.
    fn next(&self, timeout_ms: u32) -> Result<u64, u32> {
        // SAFETY: plain old data, for which zeroes are valid.
        let mut data: abi::nvmlEventData_t = unsafe { std::mem::zeroed() };
        let wait = self.bench.nvml.lib().nvmlEventSetWait_v2.as_ref().unwrap();
        // SAFETY: the set belongs to this session and this thread.
        let code = unsafe { wait(self.set, &mut data, timeout_ms) };
        if code == 0 { Ok(data.eventData) } else { Err(code) }
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: the set belongs to this session and is not used afterwards.
        unsafe { (self.bench.nvml.lib().nvmlEventSetFree.as_ref().unwrap())(self.set) };
    }
}

#[test]
fn an_xid_is_told_once_to_every_set_that_was_there_before_it() {
    let bench = bench();
    bench.control.xid(7, 31).unwrap();
    let (one, two) = (Events::of(&bench, 7), Events::of(&bench, 7));
    assert_eq!(one.next(0), Err(10), "what was before the registration is not told");
    bench.control.xid(7, 79).unwrap();
    bench.control.lose(7).unwrap();
    bench.control.xid(6, 48).unwrap();
    assert_eq!((one.next(0), two.next(0), one.next(0)), (Ok(79), Ok(79), Err(10)));
}

#[test]
fn of_more_errors_than_a_board_keeps_the_last_are_told() {
    let bench = bench();
    let events = Events::of(&bench, 7);
    (1..=20).for_each(|code| bench.control.xid(7, code).unwrap());
    let told: Vec<_> = std::iter::from_fn(|| events.next(0).ok()).collect();
    assert_eq!(told, (5..=20).collect::<Vec<_>>());
}

#[test]
fn a_hung_call_returns_when_the_driver_does_and_other_groups_do_not_wait_for_it() {
    let bench = bench();
    let events = Events::of(&bench, 0);
    let healed = AtomicBool::new(false);
    bench.control.hang_group(Group::Read, true).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let reading = bench.device(0).power_usage();
            (reading.is_ok(), healed.load(Ordering::SeqCst))
        });
        assert_eq!(bench.nvml.device_count().unwrap(), 8);
        bench.device(0).set_power_management_limit(400_000).unwrap();
        // The wait of a tenth of a second is what gives the reader time to return too early.
        assert_eq!(events.next(100), Err(10));
        assert!(!reader.is_finished());
        healed.store(true, Ordering::SeqCst);
        bench.control.hang_group(Group::Read, false).unwrap();
        assert_eq!(reader.join().unwrap(), (true, true));
    });
}

#[test]
fn a_slow_call_takes_its_time_and_gives_its_value() {
    let bench = bench();
    bench.control.slow(Duration::from_millis(30)).unwrap();
    let begun = crate::time::real_ns();
    assert!(bench.device(0).power_usage().is_ok());
    assert!(crate::time::real_ns() - begun >= 30_000_000);
    assert!(bench.control.slow(Duration::from_secs(7200)).is_err());
}

#[test]
fn held_time_moves_by_what_it_is_advanced_however_long() {
    let bench = bench();
    let before = bench.control.node();
    bench.control.advance(Duration::from_secs(90));
    let after = bench.control.node();
    assert_eq!(after.quantum - before.quantum, 9000);
    let idle_j = 90.0 * before.boards()[0].profile().idle_w;
    assert!((after.boards()[0].energy_j - before.boards()[0].energy_j - idle_j).abs() < 0.01 * idle_j);
    assert!(bench.control.pace(-1.0).is_err() && bench.control.pace(f64::NAN).is_err());
}

#[test]
fn before_its_start_the_library_says_so() {
    let mut text = [0; 32];
    // This process's own copy, which nobody starts; the tests load another.
    // SAFETY: the buffer has the length that is given.
    let code = unsafe { crate::strings::nvmlSystemGetDriverVersion(text.as_mut_ptr(), 32) };
    assert_eq!((code, crate::strings::nvmlShutdown()), (1, 1));
}

#[test]
fn functions_belong_to_the_group_that_their_names_say() {
    for (function, group) in [
        ("nvmlInit_v2", Group::Start),
        ("nvmlDeviceGetHandleByUUID", Group::Start),
        ("nvmlDeviceGetPowerUsage", Group::Read),
        ("nvmlDeviceSetPowerManagementLimit", Group::Write),
        ("nvmlDeviceResetGpuLockedClocks", Group::Write),
        ("nvmlEventSetWait_v2", Group::Events),
        ("nvmlDeviceRegisterEvents", Group::Events),
    ] {
        assert_eq!(Group::of(function), group, "{function}");
    }
}

#[test]
fn a_node_of_other_boards_says_what_they_are() {
    let bench = bench();
    bench.control.renew(Profile::named("a100").unwrap(), 4, 9);
    bench.control.inject(0, Fault::PcieWidth).unwrap();
    assert_eq!(bench.nvml.device_count().unwrap(), 4);
    let device = bench.device(0);
    assert_eq!(device.power_management_limit_constraints().unwrap().min_limit, 100_000);
    assert_eq!((device.max_pcie_link_width().unwrap(), device.current_pcie_link_width().unwrap()), (16, 4));
    assert_eq!(bench.control.status()["boards"][3]["workload"], Workload::Idle.as_str());
}

#[test]
fn a_cut_board_has_instances_with_handles_of_their_own() {
    let bench = bench();
    bench.control.cut(1, 2).unwrap();
    let device = bench.device(1);
    assert_eq!((device.mig_device_count().unwrap(), device.mig_mode().unwrap().current), (7, 1));
    let part = device.mig_device_by_index(1).unwrap();
    assert!(part.uuid().unwrap().starts_with("MIG-"));
    assert_eq!(part.name().unwrap(), "NVIDIA H100 80GB HBM3 MIG 1g.10gb");
    assert_eq!(part.memory_info().unwrap().total, 10 << 30);
    assert!(matches!(device.mig_device_by_index(2), Err(NvmlError::NotFound)));
    assert!(matches!(device.mig_device_by_index(7), Err(NvmlError::InvalidArg)));
    assert!(bench.control.cut(1, 8).is_err());
}

#[test]
fn a_driver_that_was_replaced_refuses_a_library_that_was_made_for_the_old_one() {
    let bench = bench();
    let device = bench.device(0);
    assert!(device.power_usage().is_ok());
    bench.control.driver(580, 95);
    assert!(matches!(device.power_usage(), Err(NvmlError::LibRmVersionMismatch)));
    bench.control.driver(570, 0);
    assert_eq!(bench.nvml.sys_driver_version().unwrap(), "570.00.00");
}

#[test]
fn one_board_hangs_or_fails_alone() {
    let bench = bench();
    let device = bench.device(2);
    bench.control.fail_board(2, "nvmlDeviceGetPowerUsage", 999).unwrap();
    assert!(matches!(device.power_usage(), Err(NvmlError::Unknown)));
    assert!(bench.device(3).power_usage().is_ok() && device.total_energy_consumption().is_ok());
    bench.control.fail_board(2, "nvmlDeviceGetPowerUsage", 0).unwrap();
    bench.control.hang_board(2, true).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| device.power_usage().is_ok());
        assert!(bench.device(3).power_usage().is_ok());
        bench.control.hang_board(2, false).unwrap();
        assert!(reader.join().unwrap());
    });
}
