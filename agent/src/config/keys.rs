//! Every configuration key: its documentation, default, check and target, one entry each.
use super::Config;
use super::parse;
use super::parse::Problem;
use detectors::interference;
use std::time::Duration;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The path, as in `--set beat.interval=1s`.
    pub path: &'static str,
    /// What it does, line by line.
    pub doc: &'static [&'static str],
    /// The default, as TOML.
    pub default: &'static str,
    /// Checks a value and puts it in its place.
    pub set: fn(&mut Config, &toml::Value) -> Result<(), Problem>,
}

macro_rules! keys {
    ($( $(#[doc = $doc:literal])+ $path:literal = $default:literal => $($field:ident).+ : $parse:ident $( ( $($arg:expr),+ ) )? ; )+) => {
        /// Every key, in the order of the default file; a section's keys stand together.
        pub const KEYS: &[Key] = &[$( Key {
            path: $path,
            doc: &[$($doc),+],
            default: $default,
            set: |config, value| {
                config.$($field).+ = parse::$parse(value $(, $($arg),+)?)?;
                Ok(())
            },
        }, )+];
    };
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

keys! {
    /// Address and port of the HTTP server. The default is this machine only; there is no authentication yet, so put a
    /// wider address behind something that has it.
    "listen" = r#""127.0.0.1:9477""# => listen: address;
    /// Path of a unix socket that serves the same routes; empty for none.
    "socket" = r#""""# => socket: optional_path;

    /// From one beat to the next: 50ms to 60s.
    "beat.interval" = r#""1s""# => beat.interval: duration(50 * MILLISECOND, 60 * SECOND);
    /// How long a beat waits for sources that call vendor libraries before it goes on without them, as a share of
    /// beat.interval: 0.05 to 0.9.
    "beat.deadline" = "0.5" => beat.deadline_share: number(0.05, 0.9);

    /// How far back series reach: 10s to 1h. At most 3600 beats are kept whatever the interval.
    "history.span" = r#""1h""# => history_span: duration(10 * SECOND, HOUR);

    /// Where data come from: "hardware", "sim" (a node that does not exist; every screen says so) or "replay".
    "rig.kind" = r#""hardware""# => rig.kind: rig;
    /// The simulated board: "h100", "a100", "mi300x", "max1550", "gaudi2" or "ascend910b"; or "mixed" for 4 h100, 4 mi300x,
    /// 2 gaudi2 and 2 ascend910b.
    "rig.sim.board" = r#""h100""# => rig.sim_board: word(BOARDS);
    /// The number of simulated boards, unless they are mixed: 1 to 16.
    "rig.sim.boards" = "8" => rig.sim_boards: count(1, 16);
    /// The seed of the simulation. The same seed gives the same bytes.
    "rig.sim.seed" = "1" => rig.sim_seed: seed;
    /// The recording to replay, written by record.path; needed with rig.kind = "replay".
    "rig.replay.path" = r#""""# => rig.replay_path: optional_path;

    /// Sources that are switched off, by name; `wattkeeper catalogue --sources` lists them.
    "collectors.disabled" = "[]" => collectors.disabled: names(SOURCES);
    /// Where procfs is mounted; a container mounts the host's elsewhere.
    "collectors.proc" = r#""/proc""# => collectors.proc: path;
    /// Where sysfs is mounted.
    "collectors.sys" = r#""/sys""# => collectors.sys: path;
    /// Where device files are, of which the kernel's log is read (kmsg).
    "collectors.dev" = r#""/dev""# => collectors.dev: path;
    /// Vendor libraries in place of the usual ones, as "SOURCE=PATH": a bare name is looked up by the loader, a path must be
    /// there. Such as ["nvml=/run/nvidia/driver/lib64/libnvidia-ml.so.1"].
    "collectors.libraries" = "[]" => collectors.libraries: libraries(LIBRARIES);
    /// The most control groups followed at once: 0 to 512. Containers go first.
    "collectors.cgroup.max" = "32" => collectors.cgroups_max: count(0, 512);
    /// The most control groups whose performance counters are read (cycles, instructions, cache misses), for what neighbours in
    /// caches and memory cost a workload: 0 to 32, those that use most processor time. Each takes 5 files a processor, at most a
    /// quarter of those that the agent may have open in all, and makes a switch to or from one dearer (by 1.7 us, measured with the kernel's own events); 0 for none.
    "collectors.cgroup.counters" = "0" => collectors.cgroup_counters: count(0, 32);
    /// Inference engines whose own metrics are read (vLLM, SGLang, TGI, llama.cpp), as "http://IP:PORT/metrics=DEVICE,DEVICE":
    /// the page, and the accelerators that the engine has to itself, by name or key, for its energy per token. Such as
    /// ["http://127.0.0.1:8000/metrics=gpu0,gpu1"]. Host names are not looked up; there is no TLS. "cgroup:NAME" among the devices
    /// names its control group, where that is not the only one on its accelerators: the time between its tokens then tells how
    /// much its neighbours slow it. Of any other application a histogram of seconds does, behind #: such as
    /// "http://127.0.0.1:8080/metrics#http_request_duration_seconds=cgroup:web.service".
    "collectors.engine.urls" = "[]" => collectors.engines: engines;
    /// From one reading of an engine's metrics to the next: 1s to 1min. Each costs the engine some milliseconds.
    "collectors.engine.interval" = r#""5s""# => collectors.engine_interval: duration(SECOND, 60 * SECOND);

    /// Whether latency and bandwidth of memory are probed actively, for hosts whose hardware counters cannot be read: on each
    /// beat and cache domain a chase of pointers and a copy of about 100 us on an idle processor. Takes 8 MiB a domain. On the one
    /// machine that it was tried on, shared with others, it did not tell contention from quiet: compare before you rely on it.
    "probe.enabled" = "false" => probe: truth;

    /// Detectors that are switched off, by name; "interference" is what estimates how much neighbours slow each workload.
    "detectors.disabled" = "[]" => detectors_disabled: names(DETECTORS);
    /// How many false episodes of its statistics the operator puts up with, a day and node: 0.001 to 24. Rules are not bound by it.
    "detectors.budget" = "0.2" => detectors_budget: number(0.001, 24.0);
    /// File with changes to the catalogue of faults: rows as in detectors/FAULTS.md, of which only the name and what changes need
    /// be there; empty for none.
    "detectors.faults" = r#""""# => detectors_faults: optional_path;

    /// File with a model of interference that `wattkeeper lab --train` wrote on like hardware; empty for the built-in one.
    "interference.model" = r#""""# => interference_model: optional_path;

    /// The power budget of the node in watts, such as "6500 W"; empty for none.
    "power.budget" = r#""""# => power.budget_w: optional_watts(100.0, 200_000.0);
    /// Whether caps are written to devices (true) or only advised (false).
    "power.enforce" = "false" => power.enforce: truth;
    /// Share of the budget at which low-priority work is trimmed: 0.3 to 1. POLCA (arXiv 2308.12908) uses 0.80.
    "power.low" = "0.80" => power.low: number(0.3, 1.0);
    /// Share of the budget at which all work is trimmed: 0.3 to 1, not below power.low. POLCA uses 0.89.
    "power.high" = "0.89" => power.high: number(0.3, 1.0);
    /// How far below a threshold power must fall before a cap is loosened, as a share of the budget: 0.01 to 0.3. POLCA uses 0.05.
    "power.release_gap" = "0.05" => power.release_gap: number(0.01, 0.3);
    /// How long power must stay that far below before a cap is loosened: 1s to 10min.
    "power.hold" = r#""5s""# => power.hold: duration(SECOND, 600 * SECOND);
    /// Power of everything but accelerators and processor packages (fans, disks, converters): "0 W" to "20000 W". Set it
    /// from a wall meter.
    "power.rest" = r#""500 W""# => power.rest_w: watts(0.0, 20_000.0);
    /// Power of the processor packages and their memory where RAPL cannot be read: "0 W" to "20000 W".
    "power.packages" = r#""700 W""# => power.packages_w: watts(0.0, 20_000.0);
    /// What is done to processors once every accelerator that is not of high priority is at its floor and power is still too high:
    /// "off", or "limit": the long-term limits of processor packages (RAPL) are lowered, and where they cannot be, the quotas of
    /// processor time of containers in power.priority.low. Only with power.enforce, and never for services and slices.
    "power.host" = r#""off""# => power.host: word(&["off", "limit"]);
    /// The lowest limit of a processor package, as a share of what it was before: 0.3 to 1.
    "power.host_floor" = "0.6" => power.host_floor: number(0.3, 1.0);
    /// The smallest quota of a container, in cores: 0.1 to 1024.
    "power.host_cores" = "1" => power.host_cores: number(0.1, 1024.0);
    /// The budget of the node while its agent is gone, such as "5000 W": limits are lowered to fit in it within a second of the
    /// agent's death, and none is raised. Empty for power.budget.
    "power.fallback" = r#""""# => power.fallback_w: optional_watts(100.0, 200_000.0);
    /// What a clean stop of the agent does under enforcement: "restore" gives back what limits were before, "hold" leaves them
    /// to the guardian, which keeps the node within power.fallback until an agent is back.
    "power.on_stop" = r#""restore""# => power.on_stop: word(&["restore", "hold"]);
    /// Whose work is capped last and released first: devices ("gpu0", a UUID), processes ("process:NAME"), and whom a device
    /// is given to or worked on by ("namespace:NAME", "pod:START-OF-NAME", "workload:NAME"). Labels of pods are not read. Containers
    /// have the class of their name (twelve digits of their id), of their pod, or of the workload that they are.
    "power.priority.high" = "[]" => power.priority_high: texts;
    /// Whose work is capped first.
    "power.priority.low" = "[]" => power.priority_low: texts;

    /// The slowdown in percent that is allowed for less energy per unit of work: 0 to 30. With 0 nothing is tried; above it, with
    /// power.enforce, lower settings are tried on one accelerator at a time and the best one within the limit is kept. Work of
    /// high priority is left alone.
    "power.efficiency.slowdown_max" = "0" => power.slowdown_max_percent: number(0.0, 30.0);

    /// The kubelet's PodResources socket: which pod was given which device. Without the file nothing is asked.
    "cluster.pod_resources" = r#""/var/lib/kubelet/pod-resources/kubelet.sock""# => cluster.pod_resources: path;
    /// The kubelet's folder of logs, whose folders are named by namespace, pod and uid. Only names are read.
    "cluster.pod_logs" = r#""/var/log/pods""# => cluster.pod_logs: path;
    /// The kubelet's folder of links to logs, which are named by pod, namespace, container and its id. Only names are read.
    "cluster.container_logs" = r#""/var/log/containers""# => cluster.container_logs: path;

    /// Which generation of DCGM's names /metrics/dcgm has: "dcgm-4.8" or "dcgm-4.9" (base units). A reader may ask for the
    /// other one with ?profile=NAME.
    "dcgm.profile" = r#""dcgm-4.8""# => dcgm.profile: dcgm_profile;
    /// How its label with the host's name is written: "Hostname" (up to 4.8.2), "hostname" (from 4.8.3 on), or "profile":
    /// Hostname in dcgm-4.8 and hostname in dcgm-4.9.
    "dcgm.host_label" = r#""profile""# => dcgm.host_label: dcgm_host_label;

    /// Where OpenTelemetry metrics (hw.*) are pushed as OTLP over HTTP, such as "http://127.0.0.1:4318"; /v1/metrics is
    /// added. Empty for nowhere. There is no TLS: push to a collector on this node or in its pod.
    "otlp.endpoint" = r#""""# => otlp.endpoint: optional_endpoint;
    /// From one push to the next: 1s to 10min.
    "otlp.interval" = r#""15s""# => otlp.interval: duration(SECOND, 600 * SECOND);
    /// Header lines sent with every push, such as ["authorization: Bearer TOKEN"].
    "otlp.headers" = "[]" => otlp.headers: headers;

    /// Directory of a guardian that an init system starts (`wattkeeper guardian`), with its socket, its journal of original limits
    /// and its audit log. `run` then attaches to it, needs no right to write limits, and never starts one. Empty: `run` starts
    /// its guardian itself, in state.directory.
    "guardian.directory" = r#""""# => guardian.directory: optional_path;
    /// The user, by name in /etc/passwd or by number, who may attach to that guardian beside root and its own user. Whoever
    /// attaches can lower limits and give originals back, and can set nothing else.
    "guardian.user" = r#""""# => guardian.user: optional_account;
    /// The group that may open its socket, by name in /etc/group or by number; empty for the user's own.
    "guardian.group" = r#""""# => guardian.group: optional_account;

    /// Directory of the journal of original limits, of the energy counts by workload, and of incidents. It must survive a
    /// restart of the agent.
    "state.directory" = r#""/var/lib/wattkeeper""# => state_directory: path;

    /// File to which every beat is appended as one line of JSON, for replay; empty for none.
    "record.path" = r#""""# => record_path: optional_path;

    /// The lowest level that is logged: "error", "warn", "info", "debug" or "trace".
    "log.level" = r#""info""# => log.level: word(&["error", "warn", "info", "debug", "trace"]);
    /// How log lines look: "text" or "json".
    "log.format" = r#""text""# => log.format: word(&["text", "json"]);
}

/// The names that `collectors.disabled` may hold.
fn sources() -> Vec<&'static str> {
    collectors::BUILT_IN.iter().map(|entry| entry.name).collect()
}

/// The names that `detectors.disabled` may hold.
fn detectors() -> Vec<&'static str> {
    detectors::BUILT_IN.iter().map(|entry| entry.name).chain([interference::NAME]).collect()
}

/// The sources that load a library.
fn libraries() -> Vec<&'static str> {
    collectors::BUILT_IN.iter().filter(|entry| entry.library.is_some()).map(|entry| entry.name).collect()
}

/// The simulated boards.
const BOARDS: &[&str] = &["h100", "a100", "mi300x", "max1550", "gaudi2", "ascend910b", "mixed"];
const LIBRARIES: fn() -> Vec<&'static str> = libraries;
const SOURCES: fn() -> Vec<&'static str> = sources;
const DETECTORS: fn() -> Vec<&'static str> = detectors;

/// The default configuration as a file: every key with its documentation, commented out.
pub fn default_file() -> String {
    let mut text = String::from(
        "# wattkeeper: default configuration. Every key is optional; what is commented out shows the default.\n\
         # This file is generated by `wattkeeper config default`.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (head, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if head != section {
            text.push_str(&format!("\n[{head}]\n"));
            section = head;
        } else {
            text.push('\n');
        }
        for line in key.doc {
            text.push_str(&format!("#{line}\n"));
        }
        text.push_str(&format!("#{name} = {}\n", key.default));
    }
    text
}
