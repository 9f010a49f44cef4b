//! Tests of naming: pods' names as they become known, ids of device plugins, holders and their processes as one.
use super::*;
use model::DeviceInfo;

const UID: &str = "11111111-2222-3333-4444-555555555555";

fn raw(id: &str) -> Arc<Workload> {
    Arc::new(Workload {
        container: id.into(),
        pod_uid: UID.into(),
        ..Workload::new(WorkloadKind::Pod, format!("{UID}/{id}"))
    })
}

fn held(resource: &str, id: &str) -> Held {
    let pod = PodName { namespace: "team".into(), pod: "train".into() };
    Held { pod, container: "main".into(), resource: resource.into(), id: id.into() }
}

fn pods(held: Vec<Held>) -> Pods {
    let name = PodName { namespace: "team".into(), pod: "train".into() };
    Pods { names: BTreeMap::from([(UID.into(), name)]), containers: BTreeMap::new(), held }
}

fn frame(devices: &[DeviceInfo]) -> Frame {
    let mut frame = Frame::default();
    for info in devices {
        Arc::make_mut(&mut frame.devices).register(&Arc::new(info.clone())).unwrap();
    }
    frame
}

fn gpu(key: &str) -> DeviceInfo {
    DeviceInfo::new(DeviceKind::Gpu, key)
}

#[test]
fn a_pod_is_known_by_its_id_until_its_names_are_there_and_is_told_once() {
    let mut naming = Naming::default();
    let pod = raw("c1");
    naming.begin(&Frame::default());
    assert_eq!(naming.of(&pod).key, format!("{UID}/c1"));
    assert_eq!(naming.end().count(), 0);
    naming.pods = Arc::new(pods(vec![]));
    naming.name(&pod);
    let named = naming.of(&pod);
    assert_eq!(
        (named.namespace.as_str(), named.pod.as_str(), named.container.as_str()),
        ("team", "train", "c1")
    );
    naming.pods =
        Arc::new(Pods { containers: BTreeMap::from([("c1".into(), "main".into())]), ..pods(vec![]) });
    naming.name(&pod);
    assert_eq!(naming.of(&pod).key, format!("{UID}/main"));
    let renamed: Vec<_> = naming.end().map(|(old, new)| (old.key.clone(), new.key.clone())).collect();
    assert_eq!(renamed.last().unwrap(), &(format!("{UID}/c1"), format!("{UID}/main")));
    naming.pods = Arc::new(Pods::default());
    naming.name(&pod);
    assert_eq!(naming.of(&pod).key, format!("{UID}/main"), "a name that was known stays while it works");
}

#[test]
fn the_only_container_with_devices_is_the_one_that_works() {
    let mut naming =
        Naming { pods: Arc::new(pods(vec![held("nvidia.com/gpu", "GPU-a")])), ..Naming::default() };
    let holder = holder(&naming.pods, &naming.pods.held[0]);
    assert_eq!(*naming.of(&raw("c1")), holder, "process and holding are one workload");
}

#[test]
fn ids_of_device_plugins_are_found_whatever_they_name() {
    let with = |info: DeviceInfo, name: &str, value: &str| {
        let mut info = info;
        info.attributes.insert(name.into(), value.into());
        info
    };
    let ascend = DeviceInfo { name: "ascend3".into(), ..DeviceInfo::new(DeviceKind::Npu, "serial-3") };
    let mig = DeviceInfo { parent: "GPU-a".into(), ..DeviceInfo::new(DeviceKind::Partition, "MIG-1") };
    let frame = frame(&[
        gpu("GPU-a"),
        mig,
        with(gpu("amd-serial"), "pci", "00000000:0C:00.0"),
        ascend,
        with(gpu("intel"), "card", "card2"),
    ]);
    for (resource, id, key) in [
        ("nvidia.com/gpu", "GPU-a", Some("GPU-a")),
        ("nvidia.com/gpu.shared", "GPU-a::3", Some("GPU-a")),
        ("nvidia.com/mig-1g.10gb", "MIG-1", Some("MIG-1")),
        ("amd.com/gpu", "0000:0c:00.0", Some("amd-serial")),
        ("huawei.com/Ascend910", "Ascend910-3", Some("serial-3")),
        ("gpu.intel.com/xe", "card2-0", Some("intel")),
        ("nvidia.com/gpu", "GPU-z", None),
        ("x", "", None),
        ("other.com/x", "Ascend910-3", None),
    ] {
        let found = find(&frame.devices, &held(resource, id));
        assert_eq!(found.map(|id| frame.devices.get(id).info.key.as_str()), key, "{resource} {id}");
    }
}

#[test]
fn holdings_of_a_device_are_found_by_device() {
    let frame = frame(&[gpu("GPU-a"), gpu("GPU-b")]);
    let list = vec![held("r", "GPU-b::1"), held("r", "GPU-b::0"), held("r", "GPU-x")];
    let mut naming = Naming { pods: Arc::new(pods(list)), ..Naming::default() };
    naming.begin(&frame);
    let device = |key| frame.devices.find(DeviceKind::Gpu, key).unwrap();
    assert_eq!(naming.of_device(device("GPU-a")), []);
    assert_eq!(naming.of_device(device("GPU-b")).len(), 1, "two replicas of one holder are one holding");
    assert_eq!(naming.holdings().len(), 1);
}

#[test]
fn a_holder_is_counted_on_when_its_uid_becomes_known() {
    let frame = frame(&[gpu("GPU-a")]);
    let list = vec![held("r", "GPU-a")];
    let mut naming =
        Naming { pods: Arc::new(Pods { held: list.clone(), ..Pods::default() }), ..Naming::default() };
    naming.begin(&frame);
    assert_eq!(naming.holdings()[0].workload.key, "team/train/main");
    assert_eq!(naming.end().count(), 0);
    naming.pods = Arc::new(pods(list));
    naming.table = Arc::default();
    naming.begin(&frame);
    let renamed: Vec<_> = naming.end().map(|(old, new)| (old.key.clone(), new.key.clone())).collect();
    assert_eq!(renamed, [("team/train/main".to_owned(), format!("{UID}/main"))]);
}
