//! Tests of pushes: what a message says, and a collector in the same process that refuses, is slow, answers nonsense or is gone.
use super::*;
use crate::config::Otlp;
use crate::publish::Board;
use bytes::Bytes;
use hyper::StatusCode;
use model::{
    Device, DeviceId, DeviceInfo, DeviceKind, Event, EventId, FaultKind, Holding, Metric, Phase, Reading,
    Severity, Snapshot, Timestamp, Vendor, Workload, WorkloadKind,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, NumberDataPoint, metric, number_data_point,
};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn device(snapshot: &mut Snapshot, kind: DeviceKind, key: &str, parent: &str) -> DeviceId {
    let info = DeviceInfo {
        name: key.to_lowercase(),
        model: "Board".into(),
        vendor: Vendor::Nvidia,
        parent: parent.into(),
        attributes: BTreeMap::from([("driver".into(), "550.1".into()), ("vbios".into(), "96.0".into())]),
        ..DeviceInfo::new(kind, key)
    };
    Arc::make_mut(&mut snapshot.frame.devices).register(&Arc::new(info)).unwrap()
}

/// A GPU with a pod, a link and readings; and a neural accelerator of which nothing is known.
fn snapshot(second: u64, energy_j: f64) -> Snapshot {
    let mut snapshot = Snapshot::default();
    Arc::make_mut(&mut snapshot.node).host = "node-1".into();
    Arc::make_mut(&mut snapshot.node).beat_s = 60.0;
    let gpu = device(&mut snapshot, DeviceKind::Gpu, "GPU-a", "");
    let link = device(&mut snapshot, DeviceKind::Link, "GPU-a/link0", "GPU-a");
    device(&mut snapshot, DeviceKind::Npu, "NPU-b", "");
    snapshot.frame.begin(Timestamp { mono_ns: second * 1_000_000_000, wall_ms: 1000 * second.cast_signed() });
    let values = [
        (gpu, Metric::Utilization, 0.5),
        (gpu, Metric::DecoderUtilization, 0.25),
        (gpu, Metric::MemoryUsed, 40.0),
        (gpu, Metric::MemorySize, 80.0),
        (gpu, Metric::Energy, energy_j),
        (gpu, Metric::PowerInstant, 300.0),
        (gpu, Metric::Temperature, 60.0),
        (gpu, Metric::TemperatureSlowdown, 87.0),
        (gpu, Metric::XidErrors, 2.0),
        (link, Metric::LinkSent, 1e12),
    ];
    for (device, metric, value) in values {
        snapshot.frame.put(device, metric, Reading::Value(value));
    }
    let workload = Workload {
        namespace: "research".into(),
        pod: "train-0".into(),
        pod_uid: "u-1".into(),
        container: "main".into(),
        ..Workload::new(WorkloadKind::Pod, "u-1/main")
    };
    snapshot.holdings.push(Holding { device: gpu, workload: Arc::new(workload) });
    snapshot
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    let value = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.as_str().to_owned().leak() as &str,
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.as_str(), value(pair))).collect()
}

fn metric_of(request: &ExportMetricsServiceRequest, name: &str) -> Option<metric::Data> {
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone())
}

fn points(request: &ExportMetricsServiceRequest, name: &str) -> Vec<NumberDataPoint> {
    match metric_of(request, name) {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points,
        Some(metric::Data::Sum(sum)) => sum.data_points,
        _ => Vec::new(),
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => panic!("a point without a value"),
    }
}

#[test]
fn points_carry_the_attributes_of_the_conventions_and_of_the_only_pod() {
    let request = Composer::default().compose(&snapshot(10, 5.0));
    let used = points(&request, "hw.gpu.utilization");
    let general = texts(&used[0].attributes);
    for (key, value) in [
        ("hw.id", "GPU-a"),
        ("hw.name", "gpu-a"),
        ("hw.vendor", "NVIDIA"),
        ("hw.driver_version", "550.1"),
        ("hw.firmware_version", "96.0"),
        ("hw.gpu.task", "general"),
        ("k8s.pod.name", "train-0"),
        ("k8s.pod.uid", "u-1"),
    ] {
        assert_eq!(general.get(key), Some(&value), "{general:?}");
    }
    assert!(!general.contains_key("hw.parent") && !general.contains_key("hw.type"));
    assert_eq!(used.iter().map(number).collect::<Vec<_>>(), [0.5, 0.25]);
    let heat = points(&request, "hw.temperature");
    let heat = texts(&heat[0].attributes);
    assert_eq!(
        (heat["hw.id"], heat["hw.parent"], heat["hw.sensor_location"]),
        ("GPU-a/core", "GPU-a", "core")
    );
    let limit = points(&request, "hw.temperature.limit");
    assert_eq!(texts(&limit[0].attributes)["hw.limit_type"], "high.degraded");
    let moved = points(&request, "hw.gpu.io");
    let moved = texts(&moved[0].attributes);
    assert_eq!(
        (moved["hw.id"], moved["hw.parent"], moved["network.io.direction"]),
        ("GPU-a/link0", "GPU-a", "transmit")
    );
    assert_eq!(texts(&points(&request, "hw.power")[0].attributes)["hw.type"], "gpu");
    assert_eq!(number(&points(&request, "hw.gpu.memory.utilization")[0]), 0.5);
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    let resource = texts(&resource.attributes);
    assert_eq!((resource["host.name"], resource["service.name"]), ("node-1", "wattkeeper"));
}

#[test]
fn an_instrument_has_the_shape_that_the_conventions_give_it() {
    let request = Composer::default().compose(&snapshot(10, 5.0));
    let shape = |name: &str| match metric_of(&request, name) {
        Some(metric::Data::Gauge(_)) => None,
        Some(metric::Data::Sum(sum)) => {
            assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
            Some(sum.is_monotonic)
        }
        other => panic!("{name}: {other:?}"),
    };
    for (name, monotonic) in [
        ("hw.power", None),
        ("hw.temperature", None),
        ("hw.energy", Some(true)),
        ("hw.errors", Some(true)),
        ("hw.gpu.io", Some(true)),
        ("hw.gpu.memory.usage", Some(false)),
        ("hw.status", Some(false)),
    ] {
        assert_eq!(shape(name), monotonic, "{name}");
    }
    assert_eq!(metric_of(&request, "hw.voltage"), None);
}

#[test]
fn a_counter_begins_when_it_is_first_seen_and_anew_when_it_falls() {
    let mut composer = Composer::default();
    let mut start = |second, energy_j| {
        let energy = points(&composer.compose(&snapshot(second, energy_j)), "hw.energy");
        (energy[0].start_time_unix_nano / 1_000_000_000, energy[0].time_unix_nano / 1_000_000_000)
    };
    assert_eq!(start(10, 5.0), (10, 10));
    assert_eq!(start(20, 6.0), (10, 20));
    assert_eq!(start(30, 1.0), (20, 30));
    assert_eq!(start(40, 2.0), (20, 40));
}

#[test]
fn the_status_is_one_state_and_none_when_it_is_not_known() {
    let states = |snapshot: &Snapshot| -> BTreeMap<String, Vec<&'static str>> {
        let mut found: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for point in points(&Composer::default().compose(snapshot), "hw.status") {
            let attributes = texts(&point.attributes);
            let holds = found.entry(attributes["hw.id"].to_owned()).or_default();
            holds.extend((number(&point) == 1.0).then(|| attributes["hw.state"].to_owned().leak() as &str));
        }
        found
    };
    let mut node = snapshot(10, 5.0);
    assert_eq!(states(&node)["GPU-a"], ["ok"]);
    assert!(states(&node)["NPU-b"].is_empty());
    let types = points(&Composer::default().compose(&node), "hw.status");
    assert!(types.iter().any(|point| texts(&point.attributes)["hw.type"] == "npu"));
    let gpu = node.frame.devices.iter().next().map(|d: &Device| d.id).unwrap();
    node.frame.put(gpu, Metric::RowRemapFailed, Reading::Value(1.0));
    assert_eq!(states(&node)["GPU-a"], ["predicted_failure"]);
    let at = Timestamp::default();
    node.events.push(Event {
        id: EventId(1),
        detector: "lost".into(),
        device: gpu,
        fault: FaultKind::DeviceLost,
        code: 0,
        detail: "".into(),
        severity: Severity::Critical,
        remedy: model::Remedy::None,
        phase: Phase::Held,
        since: at,
        last: at,
        cleared: None,
        count: 1,
        score: 1.0,
        evidence: [None; 4],
    });
    Arc::make_mut(&mut node.frame.devices).retire(gpu);
    assert_eq!(states(&node)["GPU-a"], ["failed"]);
}

#[test]
fn a_node_without_accelerators_has_nothing_to_push() {
    assert_eq!(Composer::default().body(&Snapshot::default()), None);
}

/// What a collector does with one request.
#[derive(Clone)]
enum Answer {
    /// A status, further header lines, and a body.
    Say(u16, &'static str, Vec<u8>),
    /// Nothing, for good.
    Silence,
}

fn ok() -> Answer {
    Answer::Say(200, "", Vec::new())
}

/// A collector that gives these answers, the last one again and again, and the bodies that it was sent.
async fn collector(answers: Vec<Answer>) -> (Otlp, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let bodies = Arc::clone(&got);
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        let mut last = ok();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            last = answers.next().unwrap_or(last);
            let body = request(&mut stream).await;
            bodies.lock().unwrap().push(body);
            match last.clone() {
                Answer::Say(status, lines, body) => {
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
                        body.len()
                    );
                    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
                }
                Answer::Silence => {
                    tokio::spawn(async move {
                        let _ = stream.read(&mut [0; 1]).await;
                    });
                }
            }
        }
    });
    (Otlp { endpoint: Some(endpoint), interval: Duration::from_secs(3600), headers: Vec::new() }, got)
}

/// The head and body of a request.
async fn request(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        got.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&got);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if got.len() >= head.len() + 4 + length.unwrap_or(0) {
            return got;
        }
    }
}

fn board(push: &Push) -> Arc<Board> {
    let board = Arc::new(Board::new().with_pushes(Some(push.tally())));
    board.publish(snapshot(10, 5.0));
    board
}

/// Waits, on a paused clock as good as at once, until so many pushes have come to an end.
async fn settled(tally: &Tally, ended: u64) -> Vec<(String, u64)> {
    for _ in 0..100_000 {
        let counts = tally.counts();
        if counts.iter().map(|(_, count)| count).sum::<u64>() >= ended {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no push came to an end");
}

fn counts(ok: u64, failed: u64, dropped: u64) -> Vec<(String, u64)> {
    [("ok", ok), ("failed", failed), ("dropped", dropped)].map(|(name, n)| (name.to_owned(), n)).into()
}

fn push(config: &Otlp) -> Push {
    Push::with_delay(config, Duration::from_millis(1)).unwrap()
}

#[tokio::test]
async fn a_push_that_is_refused_for_now_is_tried_again_and_arrives_as_it_was() {
    let (mut config, got) = collector(vec![
        Answer::Say(503, "", Vec::new()),
        Answer::Say(429, "Retry-After: 0\r\n", Vec::new()),
        ok(),
    ])
    .await;
    config.headers.push(("x-token".parse().unwrap(), "secret".parse().unwrap()));
    let push = push(&config);
    let (tally, board) = (push.tally(), board(&push));
    let _pushing = push.start(Arc::clone(&board), &tokio::runtime::Handle::current());
    assert_eq!(settled(&tally, 1).await, counts(1, 0, 0));
    let got = got.lock().unwrap();
    assert_eq!(got.len(), 3);
    assert!(got[0] == got[2]);
    let end = got[2].windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&got[2][..end]).to_lowercase();
    assert!(head.starts_with("post /v1/metrics http/1.1\r\n") && head.contains("x-token: secret"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let request = ExportMetricsServiceRequest::decode(&got[2][end + 4..]).unwrap();
    assert!(!points(&request, "hw.energy").is_empty());
    board.publish(snapshot(20, 6.0));
    assert_eq!(board.latest().unwrap().snapshot().counts.pushes, counts(1, 0, 0));
}

#[tokio::test]
async fn a_push_that_is_refused_for_good_is_not_tried_again() {
    let (config, got) = collector(vec![Answer::Say(400, "", Vec::new())]).await;
    let push = push(&config);
    let (tally, board) = (push.tally(), board(&push));
    let _pushing = push.start(board, &tokio::runtime::Handle::current());
    assert_eq!(settled(&tally, 1).await, counts(0, 1, 0));
    assert_eq!(got.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_otlp_is_a_failure_and_one_that_takes_only_a_part_is_not() {
    let (config, _) = collector(vec![Answer::Say(200, "", b"<html>".to_vec())]).await;
    let error = Client::new(&config).unwrap().send(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, PushError::Garbage(_)) && !error.retryable(), "{error}");
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "too many".into() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(partial) };
    let (config, _) = collector(vec![Answer::Say(200, "", answer.encode_to_vec())]).await;
    let partial = Client::new(&config).unwrap().send(Bytes::new()).await.unwrap().unwrap();
    assert_eq!((partial.rejected, partial.message.as_str()), (3, "too many"));
}

#[tokio::test]
async fn a_collector_that_is_gone_costs_only_the_push() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Some(format!("http://{gone}").parse().unwrap());
    let config = Otlp { endpoint, interval: Duration::from_secs(3600), headers: Vec::new() };
    let push = push(&config);
    let (tally, board) = (push.tally(), board(&push));
    let _pushing = push.start(board, &tokio::runtime::Handle::current());
    assert_eq!(settled(&tally, 1).await, counts(0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_collector_makes_the_queue_drop_its_oldest_and_a_stop_keeps_its_deadline() {
    let (mut config, _) = collector(vec![Answer::Silence]).await;
    config.interval = Duration::from_millis(100);
    let push = push(&config);
    let (tally, board) = (push.tally(), board(&push));
    let pushing = push.start(board, &tokio::runtime::Handle::current());
    let counts = settled(&tally, 3).await;
    assert!(counts.iter().any(|(outcome, count)| outcome == "dropped" && *count >= 3), "{counts:?}");
    let before = tokio::time::Instant::now();
    pushing.finish(Duration::from_millis(400)).await;
    assert!(before.elapsed() <= Duration::from_millis(500));
}

#[tokio::test]
async fn a_stop_sends_the_last_snapshot() {
    let (config, got) = collector(vec![ok()]).await;
    let push = push(&config);
    let (tally, board) = (push.tally(), board(&push));
    let pushing = push.start(Arc::clone(&board), &tokio::runtime::Handle::current());
    settled(&tally, 1).await;
    board.publish(snapshot(99, 9.0));
    pushing.finish(Duration::from_secs(5)).await;
    assert_eq!(tally.counts(), counts(2, 0, 0));
    assert_eq!(got.lock().unwrap().len(), 2);
}

#[test]
fn a_collector_may_ask_for_time() {
    let refused = PushError::Refused {
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: Some(Duration::from_secs(7)),
    };
    assert!(refused.retryable() && refused.retry_after() == Some(Duration::from_secs(7)));
    for status in [StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::UNAUTHORIZED] {
        assert!(!PushError::Refused { status, retry_after: None }.retryable());
    }
}
