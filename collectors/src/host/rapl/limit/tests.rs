//! Tests of limits of packages on trees as the kernel makes them, damaged ones included.
use super::*;
use model::{DeviceInfo, DeviceKind, DeviceTable};
use std::fs;
use std::sync::Arc;

/// A tree of two packages whose constraints have their own order.
struct Tree(tempfile::TempDir);

const RATED: u64 = 350_000_000;

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let names = [["long_term", "short_term", "peak_power"], ["peak_power", "short_term", "long_term"]];
        for (package, names) in names.iter().enumerate() {
            tree.write(package, "name", &format!("package-{package}\n"));
            tree.write(package, "enabled", "1\n");
            for (number, name) in names.iter().enumerate() {
                let (limit, most) = match *name {
                    "long_term" => (RATED, RATED),
                    "short_term" => (420_000_000, 560_000_000),
                    _ => (900_000_000, 0),
                };
                tree.write(package, &format!("constraint_{number}_name"), &format!("{name}\n"));
                tree.write(package, &format!("constraint_{number}_power_limit_uw"), &format!("{limit}\n"));
                tree.write(package, &format!("constraint_{number}_max_power_uw"), &format!("{most}\n"));
            }
        }
        let part = tree.folder(0).with_file_name("intel-rapl:0:0");
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join("name"), "dram\n").unwrap();
        tree
    }

    fn folder(&self, package: usize) -> PathBuf {
        self.0.path().join(format!("sys/class/powercap/intel-rapl:{package}"))
    }

    fn write(&self, package: usize, file: &str, text: &str) {
        fs::create_dir_all(self.folder(package)).unwrap();
        fs::write(self.folder(package).join(file), text).unwrap();
    }

    fn text(&self, package: usize, file: &str) -> String {
        fs::read_to_string(self.folder(package).join(file)).unwrap().trim().to_owned()
    }

    /// Makes a file another one, of the kernel.
    fn replace(&self, package: usize, file: &str, with: &str) {
        let path = self.folder(package).join(file);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(with, path).unwrap();
    }

    /// Everything in a package's files but one.
    fn rest(&self, package: usize, but: &str) -> Vec<(String, String)> {
        let files = names(&self.folder(package), |name| name != but);
        files.into_iter().map(|name| (name.clone(), self.text(package, &name))).collect()
    }

    fn actuator(&self) -> RaplActuator {
        RaplActuator::new(Roots::below(self.0.path()))
    }
}

fn order(key: &str, limit_w: f64) -> Order {
    let mut table = DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Zone, key))).unwrap();
    let span = Span::new(1e-9, 1e6).unwrap();
    Order::new(device, Arc::from(key), (Knob::PowerLimit, limit_w), span)
}

#[test]
fn the_long_term_limit_is_found_by_its_name_and_nothing_else_is_written() {
    let tree = Tree::new();
    for (package, number) in [(0, 0), (1, 2)] {
        let (key, file) = (format!("package-{package}"), format!("constraint_{number}_power_limit_uw"));
        let rest = tree.rest(package, &file);
        let mut actuator = tree.actuator();
        let original = actuator.enforced(&key, Knob::PowerLimit).unwrap();
        assert_eq!(original, 350.0);
        assert_eq!(actuator.apply(&order(&key, 241.5)).unwrap(), 241.5);
        assert_eq!(tree.text(package, &file), "241500000");
        assert_eq!(tree.rest(package, &file), rest, "other limits, the enable bit and windows stay");
        assert_eq!(tree.actuator().apply(&order(&key, original)).unwrap(), 350.0);
        assert_eq!(tree.text(package, &file), RATED.to_string());
    }
}

#[test]
fn a_limit_lies_between_half_of_the_rating_and_the_highest_that_is_said() {
    let tree = Tree::new();
    let span = |tree: &Tree| tree.actuator().span("package-0", Knob::PowerLimit).unwrap();
    assert_eq!((span(&tree).min(), span(&tree).max()), (175.0, 560.0));
    tree.write(0, "constraint_0_power_limit_uw", "700000000\n");
    assert_eq!(span(&tree).max(), 700.0, "what stands can be set again");
    tree.write(0, "constraint_0_power_limit_uw", "100000000\n");
    assert_eq!(span(&tree).min(), 100.0);
    // Many processors say neither.
    for number in 0..2 {
        tree.write(0, &format!("constraint_{number}_max_power_uw"), "0\n");
    }
    assert_eq!((span(&tree).min(), span(&tree).max()), (50.0, 100.0));
}

#[test]
fn zero_is_never_written() {
    let tree = Tree::new();
    for limit_w in [0.0, 1e-7, 0.4] {
        let error = tree.actuator().apply(&order("package-0", limit_w)).unwrap_err();
        assert_eq!(error.reason, Reason::Refused, "{limit_w}");
    }
    assert_eq!(tree.text(0, "constraint_0_power_limit_uw"), RATED.to_string());
}

#[test]
fn what_has_no_limit_or_one_that_is_off_is_unsupported_and_what_vanished_is_lost() {
    let tree = Tree::new();
    let reason = |key: &str| tree.actuator().apply(&order(key, 200.0)).unwrap_err().reason;
    assert_eq!(reason("package-0/dram"), Reason::Unsupported);
    assert_eq!(reason("package-7"), Reason::Lost);
    tree.write(0, "enabled", "0\n");
    assert_eq!(reason("package-0"), Reason::Unsupported, "a limit that is off holds nothing");
    assert_eq!(tree.text(0, "enabled"), "0", "and is not switched on");
    assert_eq!(tree.actuator().enforced("package-1", Knob::PowerLimit).unwrap(), 350.0);
    fs::remove_dir_all(tree.folder(1)).unwrap();
    assert_eq!(reason("package-1"), Reason::Lost);
    let amd = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/amd-2s");
    let mut amd = RaplActuator::new(Roots::below(&amd));
    assert_eq!(amd.span("package-0", Knob::PowerLimit).unwrap_err().reason, Reason::Unsupported);
    assert_eq!(amd.span("package-0", Knob::ClockMax).unwrap_err().reason, Reason::Unsupported);
}

#[test]
fn a_zone_that_is_numbered_anew_is_still_the_one_that_was_meant() {
    let tree = Tree::new();
    let mut actuator = tree.actuator();
    actuator.apply(&order("package-0", 300.0)).unwrap();
    tree.write(0, "name", "package-1\n");
    tree.write(1, "name", "package-0\n");
    actuator.apply(&order("package-0", 200.0)).unwrap();
    assert_eq!(tree.text(1, "constraint_2_power_limit_uw"), "200000000");
    assert_eq!(tree.text(0, "constraint_0_power_limit_uw"), "300000000");
}

#[test]
fn a_limit_that_firmware_locked_is_denied() {
    let tree = Tree::new();
    // The driver answers EACCES (intel_rapl_common.c); so does this file, of which the kernel lets nobody write.
    tree.replace(0, "constraint_0_power_limit_uw", "/proc/sys/kernel/random/entropy_avail");
    assert_eq!(tree.actuator().apply(&order("package-0", 200.0)).unwrap_err().reason, Reason::Denied);
    // Numbers that are too high are refused with EINVAL.
    tree.replace(1, "constraint_2_power_limit_uw", "/proc/self/oom_score_adj");
    assert_eq!(tree.actuator().apply(&order("package-1", 200.0)).unwrap_err().reason, Reason::Refused);
}

#[test]
fn what_a_limit_became_is_what_is_read_back_and_not_what_was_written() {
    let tree = Tree::new();
    // A file that takes any number and keeps the lowest bits of it, without an error; it reads in hexadecimal.
    tree.replace(0, "constraint_0_power_limit_uw", "/proc/self/coredump_filter");
    let before = fs::read_to_string("/proc/self/coredump_filter").unwrap();
    let read_back = tree.actuator().apply(&order("package-0", 300.0)).unwrap();
    fs::write("/proc/self/coredump_filter", format!("0x{}", before.trim())).unwrap();
    assert!(read_back < 1.0, "{read_back}");
    tree.write(1, "constraint_2_power_limit_uw", "nonsense\n");
    let error = tree.actuator().enforced("package-1", Knob::PowerLimit).unwrap_err();
    assert_eq!(error.reason, Reason::Malformed);
}
