//! Tests of quotas on trees of both versions, and on the machine's own groups where that is permitted.
use super::*;
use model::{DeviceInfo, DeviceKind, DeviceTable};
use std::fs;
use std::sync::Arc;

/// A tree of a machine with 32 cores.
struct Tree {
    home: tempfile::TempDir,
    unified: bool,
}

impl Tree {
    fn new(unified: bool) -> Self {
        let tree = Self { home: tempfile::tempdir().unwrap(), unified };
        let cores: String = (0..32).map(|n| format!("cpu{n} 1 2 3\n")).collect();
        tree.write("proc/stat", &format!("cpu 1 2 3\n{cores}"));
        tree.own("/system.slice/wattkeeper.service");
        if unified {
            tree.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts this process into a group.
    fn own(&self, path: &str) {
        self.write("proc/self/cgroup", &format!("4:memory:{path}\n1:cpu:{path}\n0::{path}\n"));
    }

    fn file(&self, key: &str, name: &str) -> String {
        let tree = if self.unified { "" } else { "cpu/" };
        format!("sys/fs/cgroup/{tree}{key}/{name}")
    }

    fn group(&self, key: &str, quota_us: i64, period_us: u32) {
        if self.unified {
            let quota = if quota_us < 0 { "max".to_owned() } else { quota_us.to_string() };
            self.write(&self.file(key, "cpu.max"), &format!("{quota} {period_us}\n"));
        } else {
            self.write(&self.file(key, "cpu.cfs_quota_us"), &format!("{quota_us}\n"));
            self.write(&self.file(key, "cpu.cfs_period_us"), &format!("{period_us}\n"));
        }
    }

    /// What stands in the file of the quota.
    fn text(&self, key: &str) -> String {
        let name = if self.unified { "cpu.max" } else { "cpu.cfs_quota_us" };
        fs::read_to_string(self.home.path().join(self.file(key, name))).unwrap().trim().to_owned()
    }

    fn quotas(&self) -> Quotas {
        let roots = Roots::below(self.home.path());
        Quotas::new(Hierarchy::find(&roots).unwrap(), roots)
    }
}

fn order(key: &str, cores: f64) -> Order {
    let mut table = DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Cgroup, key))).unwrap();
    let span = Span::new(1e-6, 1e6).unwrap();
    Order::new(device, Arc::from(key), (Knob::CpuQuota, cores), span)
}

/// The text of a quota at a period of 100 ms.
fn expected(unified: bool, quota: &str) -> String {
    match (unified, quota) {
        (true, "-1") => "max 100000".to_owned(),
        (true, quota) => format!("{quota} 100000"),
        (false, quota) => quota.to_owned(),
    }
}

#[test]
fn no_quota_is_as_many_cores_as_there_are_and_is_given_back_as_no_quota() {
    for unified in [true, false] {
        let tree = Tree::new(unified);
        tree.group("docker/a", -1, 100_000);
        let mut quotas = tree.quotas();
        assert_eq!(quotas.enforced("docker/a", Knob::CpuQuota).unwrap(), 32.0);
        let span = quotas.span("docker/a", Knob::CpuQuota).unwrap();
        assert_eq!((span.min(), span.max()), (0.32, 32.0));
        assert_eq!(quotas.apply(&order("docker/a", 4.5)).unwrap(), 4.5);
        assert_eq!(tree.text("docker/a"), expected(unified, "450000"));
        // Another process gives it back: all that it knows is the number in the journal.
        assert_eq!(tree.quotas().apply(&order("docker/a", 32.0)).unwrap(), 32.0);
        assert_eq!(tree.text("docker/a"), expected(unified, "-1"));
    }
}

#[test]
fn every_original_is_given_back_to_the_microsecond() {
    for unified in [true, false] {
        for quota_us in [-1, 1000, 1001, 33_333, 150_000, 3_199_999, 3_200_000, 6_400_000] {
            let tree = Tree::new(unified);
            tree.group("docker/a", quota_us, 100_000);
            let before = tree.text("docker/a");
            let mut quotas = tree.quotas();
            let original = quotas.enforced("docker/a", Knob::CpuQuota).unwrap();
            let span = quotas.span("docker/a", Knob::CpuQuota).unwrap();
            assert!(span.min() <= original && original <= span.max(), "{quota_us}: {span:?}");
            quotas.apply(&order("docker/a", 0.02)).unwrap();
            quotas.apply(&order("docker/a", 0.03)).unwrap();
            quotas.apply(&order("docker/a", original)).unwrap();
            assert_eq!(tree.text("docker/a"), before, "{quota_us}");
        }
    }
}

#[test]
fn the_groups_own_period_stays_and_bounds_the_floor() {
    for unified in [true, false] {
        let tree = Tree::new(unified);
        tree.group("docker/a", -1, 2000);
        let mut quotas = tree.quotas();
        assert_eq!(quotas.span("docker/a", Knob::CpuQuota).unwrap().min(), 0.5, "1 ms of each 2 ms");
        assert_eq!(quotas.apply(&order("docker/a", 3.0)).unwrap(), 3.0);
        assert_eq!(tree.text("docker/a"), if unified { "6000 2000" } else { "6000" });
        assert_eq!(quotas.apply(&order("docker/a", 0.4)).unwrap_err().reason, Reason::Refused);
    }
}

#[test]
fn neither_the_root_nor_our_own_group_nor_one_above_it_is_ever_turned() {
    for unified in [true, false] {
        let tree = Tree::new(unified);
        for key in ["system.slice", "system.slice/wattkeeper.service", "system.slice/wattkeeper", ""] {
            tree.group(key, -1, 100_000);
        }
        let mut quotas = tree.quotas();
        let refused =
            ["", "/", ".", "..", "a/../system.slice", "system.slice", "system.slice/wattkeeper.service"];
        for key in refused {
            let error = quotas.apply(&order(key, 1.0)).unwrap_err();
            assert_eq!(error.reason, Reason::Refused, "{key:?}");
        }
        for key in ["", "system.slice", "system.slice/wattkeeper.service"] {
            assert_eq!(tree.text(key), expected(unified, "-1"), "{key:?}");
        }
        assert_eq!(quotas.apply(&order("system.slice/wattkeeper", 1.0)).unwrap(), 1.0, "another one's");
    }
}

#[test]
fn in_a_namespace_our_group_is_known_by_the_process_in_it() {
    for unified in [true, false] {
        let tree = Tree::new(unified);
        for (key, pid) in [("pods/a/own", std::process::id()), ("pods/b/other", std::process::id() + 1)] {
            tree.group(key, -1, 100_000);
            tree.group(key.rsplit_once('/').unwrap().0, -1, 100_000);
            tree.write(&tree.file(key, "cgroup.procs"), &format!("1\n{pid}\n"));
        }
        for own in ["/", "/../elsewhere"] {
            tree.own(own);
            let mut quotas = tree.quotas();
            for key in ["pods", "pods/a", "pods/a/own"] {
                assert_eq!(quotas.apply(&order(key, 1.0)).unwrap_err().reason, Reason::Refused, "{key}");
            }
            assert_eq!(quotas.apply(&order("pods/b/other", 1.0)).unwrap(), 1.0);
        }
        fs::remove_file(tree.home.path().join("proc/self/cgroup")).unwrap();
        let unknown = tree.quotas().apply(&order("pods/b", 1.0)).unwrap_err();
        assert_eq!(unknown.reason, Reason::Refused, "what cannot be told is ours");
    }
}

#[test]
fn a_group_that_vanished_or_has_no_quota_or_nonsense_in_it_says_so() {
    for unified in [true, false] {
        let tree = Tree::new(unified);
        tree.group("docker/a", -1, 100_000);
        tree.write(&tree.file("docker/bare", "cgroup.procs"), "");
        let mut quotas = tree.quotas();
        let mut reason = |key: &str| quotas.apply(&order(key, 1.0)).unwrap_err().reason;
        assert_eq!(reason("docker/gone"), Reason::Lost);
        assert_eq!(reason("docker/bare"), Reason::Unsupported);
        for nonsense in ["0 100000", "max", "x y", "-5 0", ""] {
            if unified {
                tree.write(&tree.file("docker/a", "cpu.max"), nonsense);
            } else {
                tree.write(&tree.file("docker/a", "cpu.cfs_period_us"), nonsense);
            }
            assert_eq!(reason("docker/a"), Reason::Malformed, "{nonsense:?}");
        }
        assert_eq!(quotas.enforced("docker/a", Knob::PowerLimit).unwrap_err().reason, Reason::Unsupported);
        tree.group("docker/a", -1, 100_000);
        tree.write("proc/stat", "cpu 1 2 3\n");
        assert_eq!(quotas.enforced("docker/a", Knob::CpuQuota).unwrap_err().reason, Reason::Malformed);
    }
}

/// A group of the machine's own, removed on drop.
struct Real {
    folder: PathBuf,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_tree_that_is_not_mounted_does_not_mean_that_its_groups_are_gone() {
    let tree = Tree::new(true);
    tree.group("docker/a", -1, 100_000);
    let mut quotas = tree.quotas();
    let mut reason = || quotas.enforced("docker/a", Knob::CpuQuota).map_err(|error| error.reason);
    assert_eq!(reason(), Ok(32.0));
    let (mount, away) = (tree.home.path().join("sys/fs/cgroup"), tree.home.path().join("away"));
    fs::rename(&mount, &away).unwrap();
    fs::create_dir(&mount).unwrap();
    assert_eq!(reason(), Err(Reason::Missing));
    fs::remove_dir(&mount).unwrap();
    fs::rename(&away, &mount).unwrap();
    fs::remove_dir_all(mount.join("docker/a")).unwrap();
    assert_eq!(reason(), Err(Reason::Lost));
}

#[test]
fn the_kernel_takes_a_quota_and_gives_it_back_where_a_group_may_be_made() {
    let roots = Roots::default();
    let Some(hierarchy) = Hierarchy::find(&roots) else { return };
    let Some(tree) = hierarchy.quotas() else { return };
    let key = format!("wattkeeper-test-{}", std::process::id());
    let real = Real { folder: tree.join(&key) };
    if fs::create_dir(&real.folder).is_err() {
        return;
    }
    let mut quotas = Quotas::new(hierarchy, roots);
    // Where the controller is not handed down there is nothing to turn.
    let Ok(original) = quotas.enforced(&key, Knob::CpuQuota) else { return };
    let span = quotas.span(&key, Knob::CpuQuota).unwrap();
    assert_eq!(original, span.max(), "a new group has no quota");
    let text = || {
        let files = ["cpu.max", "cpu.cfs_quota_us"].map(|name| fs::read_to_string(real.folder.join(name)));
        files.into_iter().find_map(Result::ok).unwrap()
    };
    let before = text();
    for cores in [span.min(), 0.5] {
        assert!((quotas.apply(&order(&key, cores)).unwrap() - cores).abs() < Knob::CpuQuota.slack());
        assert_ne!(text(), before);
    }
    assert_eq!(quotas.apply(&order(&key, original)).unwrap(), original);
    assert_eq!(text(), before);
    // Another writer is seen, and so is another group of the same name.
    let (file, quota) = match quotas.place(&key).unwrap() {
        Place::Unified(file) => (file, "30000 100000"),
        Place::Split { quota, .. } => (quota, "30000"),
    };
    fs::write(file, quota).unwrap();
    assert_eq!(quotas.enforced(&key, Knob::CpuQuota).unwrap(), 0.3);
    let first = quotas.incarnation(&key, Knob::CpuQuota);
    assert!(first.is_some() && first == quotas.incarnation(&key, Knob::CpuQuota));
    fs::remove_dir(&real.folder).unwrap();
    assert_eq!(quotas.incarnation(&key, Knob::CpuQuota), None);
    fs::create_dir(&real.folder).unwrap();
    assert_ne!(quotas.incarnation(&key, Knob::CpuQuota), first);
}

#[test]
fn a_group_that_was_made_anew_under_its_name_is_another_one() {
    for unified in [true, false] {
        let tree = Tree::new(unified);
        tree.group("docker/a", -1, 100_000);
        tree.group("docker/next", 200_000, 100_000);
        let mut quotas = tree.quotas();
        let first = quotas.incarnation("docker/a", Knob::CpuQuota);
        quotas.apply(&order("docker/a", 4.0)).unwrap();
        assert_eq!(quotas.incarnation("docker/a", Knob::CpuQuota), first, "a write does not change it");
        let at = |key: &str| {
            let file = tree.home.path().join(tree.file(key, "x"));
            file.parent().unwrap().to_owned()
        };
        fs::remove_dir_all(at("docker/a")).unwrap();
        fs::rename(at("docker/next"), at("docker/a")).unwrap();
        assert_ne!(quotas.incarnation("docker/a", Knob::CpuQuota), first);
        assert_eq!(quotas.enforced("docker/a", Knob::CpuQuota).unwrap(), 2.0, "with a quota of its own");
        assert_eq!(quotas.incarnation("docker/a", Knob::PowerLimit), None);
    }
}
