//! DCGM's names as the parts that query them see them: promtool, a real Prometheus, and the queries of dashboards and scalers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed"
)]
use agent::publish::Board;
use agent::serve::Server;
use fake_nvml::Control;
use model::{
    DeviceId, DeviceInfo, DeviceKind, Holding, Metric, Reading, Share, Snapshot, Timestamp, Vendor, Watts,
    Workload, WorkloadKind,
};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tests::{Agent, eventually, fake_library, free_address, get};

/// Whether promtool can be run; panics where CI requires it.
fn promtool() -> bool {
    let mut ask = Command::new("promtool");
    let there = ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let required = std::env::var_os("WATTKEEPER_REQUIRE_PROMTOOL").is_some();
    assert!(there || !required, "promtool is required and missing");
    if !there {
        eprintln!("NOTICE: skipped, because promtool is not installed (Debian package prometheus)");
    }
    there
}

/// What promtool remarks on DCGM's own names. Its linter ends with 3 for remarks and with 1 for a page that it cannot read;
/// the names are what others query, so these stay: a label in camel case, counters that do not end in lower case, and the
/// word "counter" in a name.
const INHERENT: [&str; 3] = [
    "label names should be written in 'snake_case' not 'camelCase'",
    "counter metrics should have \"_total\" suffix",
    "metric name should not include type 'counter'",
];

#[test]
fn promtool_reads_every_kept_page_and_remarks_on_dcgms_own_names_only() {
    if !promtool() {
        return;
    }
    for name in ["dcgm-4.8-upper", "dcgm-4.8-lower", "dcgm-4.9-upper", "dcgm-4.9-lower"] {
        let page =
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.prom"))).unwrap();
        let mut check = Command::new("promtool");
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = check.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&page).unwrap();
        let output = child.wait_with_output().unwrap();
        let remarks = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{name}: {remarks}");
        let inherent = |remark: &str| INHERENT.iter().any(|known| remark.ends_with(known));
        let others: Vec<_> = remarks.lines().filter(|remark| !inherent(remark)).collect();
        assert!(others.is_empty(), "{name}: {others:?}");
    }
}

#[test]
fn the_page_has_a_content_type_a_zipped_form_and_only_known_profiles() {
    let agent = Agent::start(&["--rig", "sim"], &[]);
    let plain = agent.get("/metrics/dcgm");
    assert_eq!(plain.header("content-type").as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.text().contains("\nDCGM_FI_DEV_GPU_TEMP{gpu=\"7\",UUID=\"GPU-"), "{}", plain.text());
    let zipped = tests::request(agent.address, "/metrics/dcgm", &["Accept-Encoding: gzip"]).unwrap();
    assert!(
        zipped.header("content-encoding").as_deref() == Some("gzip")
            && zipped.body.starts_with(&[0x1f, 0x8b])
    );
    let newer = agent.get("/metrics/dcgm?profile=dcgm-4.9").text();
    assert!(newer.contains("\nDCGM_FI_DEV_GPU_TEMP_CELSIUS{") && newer.contains(",hostname=\""));
    let unknown = agent.get("/metrics/dcgm?profile=dcgm-9.9");
    assert!(unknown.status == 400 && unknown.text().contains("dcgm-4.8"), "{}", unknown.text());
    let options = ["--rig", "sim", "--set", "dcgm.profile=dcgm-4.9", "--set", "dcgm.host_label=Hostname"];
    let chosen = Agent::start(&options, &[]).get("/metrics/dcgm").text();
    assert!(chosen.contains("\nDCGM_FI_DEV_GPU_TEMP_CELSIUS{") && chosen.contains(",Hostname=\""));
}

fn device(
    snapshot: &mut Snapshot,
    kind: DeviceKind,
    name: &str,
    known: &[(&str, &str)],
    parent: &str,
) -> DeviceId {
    let attributes: BTreeMap<_, _> = known.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let info = DeviceInfo {
        name: name.into(),
        model: "NVIDIA H100 80GB HBM3".into(),
        vendor: Vendor::Nvidia,
        parent: parent.into(),
        attributes,
        ..DeviceInfo::new(kind, format!("GPU-{name}"))
    };
    Arc::make_mut(&mut snapshot.frame.devices).register(&Arc::new(info)).unwrap()
}

fn pod(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "research".into(),
        pod: name.into(),
        container: "main".into(),
        ..Workload::new(WorkloadKind::Pod, name)
    })
}

/// A GPU that two pods share, and one in partitions with a pod on one of them.
fn with_pods() -> Snapshot {
    let mut snapshot = Snapshot::default();
    Arc::make_mut(&mut snapshot.node).host = "node-1".into();
    let known = [("pci", "00000000:1b:00.0"), ("driver", "550.144.03")];
    let shared = device(&mut snapshot, DeviceKind::Gpu, "gpu0", &known, "");
    let whole = device(&mut snapshot, DeviceKind::Gpu, "gpu1", &known, "");
    let part = [("gi", "3"), ("profile", "1g.10gb")];
    let part = device(&mut snapshot, DeviceKind::Partition, "gpu1/mig3.0", &part, "GPU-gpu1");
    let link = device(&mut snapshot, DeviceKind::Link, "gpu0/link0", &[], "GPU-gpu0");
    snapshot.frame.begin(Timestamp { mono_ns: 1, wall_ms: 1 });
    for gpu in [shared, whole] {
        for (metric, value) in [
            (Metric::Temperature, 90.0),
            (Metric::PowerAverage, 600.0),
            (Metric::Utilization, 0.75),
            (Metric::TensorActive, 0.5),
            (Metric::ViolationPower, 3.0),
            (Metric::MemorySize, 80.0 * 1_073_741_824.0),
            (Metric::MemoryUsed, 40.0 * 1_073_741_824.0),
        ] {
            snapshot.frame.put(gpu, metric, Reading::Value(value));
        }
    }
    snapshot.frame.put(part, Metric::GraphicsActive, Reading::Value(0.5));
    snapshot.frame.put(link, Metric::LinkCrcFlit, Reading::Value(3.0));
    let share = |name, power_w, utilization| Share {
        device: shared,
        workload: Some(pod(name)),
        power: Some(Watts(power_w)),
        energy_j: 1.0,
        memory_bytes: Some(10 << 30),
        utilization: Some(utilization),
        processes: 1,
    };
    snapshot.shares = vec![share("chat-a", 300.0, 0.5), share("chat-b", 200.0, 0.25)];
    snapshot.holdings = vec![Holding { device: part, workload: pod("notebook") }];
    snapshot
}

/// A Prometheus of our own, killed at the end.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// One that scrapes `/metrics/dcgm` of an agent and of a node with pods; the latter a second time as in a cluster, where
    /// the exporter's own pod stands in the target's labels and what it exports moves to `exported_*`.
    fn start(home: &Path, agent: SocketAddr, pods: SocketAddr) -> Self {
        let job = |name: &str, target: SocketAddr, labels: &str| {
            format!(
                "  - job_name: {name}\n    metrics_path: /metrics/dcgm\n    static_configs:\n      - targets: ['{target}']\n{labels}"
            )
        };
        let own = "        labels: { namespace: monitoring, pod: wattkeeper-x, container: wattkeeper }\n";
        let jobs = [job("agent", agent, ""), job("pods", pods, ""), job("cluster", pods, own)].concat();
        let file = home.join("prometheus.yml");
        std::fs::write(&file, format!("global:\n  scrape_interval: 1s\nscrape_configs:\n{jobs}")).unwrap();
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    fn ask(&self, path: &str) -> Option<serde_json::Value> {
        // Prometheus answers 503 in plain text until it is ready.
        get(self.address, path).ok().filter(|reply| reply.status == 200).map(|reply| reply.json())
    }

    /// The values that a query gives.
    fn query(&self, query: &str) -> Vec<f64> {
        let plain = |b: u8| b.is_ascii_alphanumeric();
        let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
        let reply =
            self.ask(&format!("/api/v1/query?query={}", query.bytes().map(escape).collect::<String>()));
        let result = reply.and_then(|reply| reply["data"]["result"].as_array().cloned()).unwrap_or_default();
        result.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    fn gives(&self, query: &str, count: usize) {
        eventually(&format!("{query} gives {count} series"), || self.query(query).len() == count);
    }

    fn says(&self, query: &str, value: f64) {
        eventually(&format!("{query} gives {value}"), || self.query(query) == [value]);
    }
}

#[test]
fn what_dashboards_scalers_and_alerts_query_is_there_in_a_real_prometheus() {
    if !promtool() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    control.load(0, "training").unwrap();
    let library = format!("collectors.libraries=[\"nvml={}\"]", fake_library().display());
    let agent = Agent::start(&["--set", &library], &[("WATTKEEPER_FAKE_NVML", &file)]);
    let board = Arc::new(Board::new());
    board.publish(with_pods());
    // Another address than the agents', so that none of the ports they are about to use is taken.
    let pods = Server::start(SocketAddr::from(([127, 0, 0, 2], 0)), None, board).unwrap();
    let prometheus = Prometheus::start(home.path(), agent.address, pods.local_addr());

    // Grafana 12239: variables by label_values(DCGM_FI_DEV_GPU_TEMP, instance) and (..., gpu), then its panels.
    let on = format!("instance=\"{}\",gpu=~\"0|1|2|3|4|5|6|7\"", agent.address);
    prometheus.gives(&format!("DCGM_FI_DEV_GPU_TEMP{{{on}}}"), 8);
    let gpus = prometheus.ask("/api/v1/label/gpu/values?match[]=DCGM_FI_DEV_GPU_TEMP").unwrap();
    assert_eq!(gpus["data"].as_array().unwrap().len(), 8, "{gpus}");
    for query in ["avg(DCGM_FI_DEV_GPU_TEMP{ON})", "sum(DCGM_FI_DEV_POWER_USAGE{ON})"] {
        prometheus.gives(&query.replace("ON", &on), 1);
    }
    for query in [
        "DCGM_FI_DEV_POWER_USAGE{ON}",
        "DCGM_FI_DEV_SM_CLOCK{ON} * 1000000",
        "DCGM_FI_DEV_GPU_UTIL{ON}",
        "DCGM_FI_DEV_FB_USED{ON}",
    ] {
        prometheus.gives(&query.replace("ON", &on), 8);
    }
    prometheus.gives("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{job=\"pods\"}", 3);
    prometheus.gives(&format!("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{on}}}"), 8);
    // 15117, 23382 and boards of one's own.
    prometheus.gives("count by (modelName) (DCGM_FI_DEV_GPU_TEMP{job=\"agent\",Hostname!=\"\"})", 1);
    prometheus
        .gives("DCGM_FI_PROF_GR_ENGINE_ACTIVE{job=\"pods\",GPU_I_ID!=\"\",GPU_I_PROFILE=\"1g.10gb\"}", 1);
    prometheus.gives(
        "DCGM_FI_DEV_FB_USED{ON}/(DCGM_FI_DEV_FB_USED{ON}+DCGM_FI_DEV_FB_FREE{ON})"
            .replace("ON", &on)
            .as_str(),
        8,
    );
    // Scalers.
    prometheus.says("avg(DCGM_FI_DEV_GPU_UTIL{job=\"pods\",namespace=\"research\",pod=~\"chat-.*\"})", 37.5);
    prometheus.gives("avg by (pod) (DCGM_FI_DEV_GPU_UTIL{job=\"pods\",namespace!=\"\",pod!=\"\"})", 2);
    prometheus.gives(
        "DCGM_FI_DEV_GPU_UTIL{exported_namespace!=\"\",exported_container!=\"\",exported_pod!=\"\"}",
        2,
    );
    prometheus.says("sum(DCGM_FI_DEV_POWER_USAGE{job=\"pods\",gpu=\"0\"})", 600.0);
    prometheus.gives(&format!("increase(DCGM_FI_DEV_POWER_VIOLATION{{{on}}}[5m]) > bool 0"), 8);
    prometheus.gives("count(DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL{job=\"agent\"}) > 0", 1);
    // Alerts: each selector has data, and fires where there is something to say.
    prometheus.gives(&format!("DCGM_FI_DEV_XID_ERRORS{{{on}}}"), 8);
    prometheus.gives(&format!("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{on}}}"), 8);
    prometheus.gives(&format!("DCGM_FI_DEV_FB_FREE{{{on}}} < bool 512"), 8);
    prometheus.gives("DCGM_FI_DEV_GPU_TEMP{job=\"pods\"} > 85", 3);
    prometheus.gives("increase(DCGM_FI_DEV_POWER_VIOLATION{job=\"pods\"}[5m]) > bool 0", 3);
    prometheus.gives("rate(DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL{job=\"pods\"}[5m]) > bool 0", 2);
    control.xid(3, 79).unwrap();
    prometheus.says("DCGM_FI_DEV_XID_ERRORS{job=\"agent\",gpu=\"3\"} == 79", 79.0);
    // Of a GPU that is cut into instances, what these say for themselves is theirs.
    control.cut(1, 2).unwrap();
    prometheus.gives("DCGM_FI_PROF_GR_ENGINE_ACTIVE{job=\"agent\",GPU_I_ID!=\"\"}", 2);
    drop(prometheus);
    pods.shutdown();
}
