//! Composing: the message of a push from a snapshot.
//!
//! The conventions know no neural accelerator: it is sent in the same instruments as a GPU, told apart by
//! `hw.type = "npu"`, which they allow as a value of one's own. A counter whose beginning is not known (the driver's
//! energy since it was loaded) begins, as the data model has it, with the first time it was seen.
use super::instruments::{About, INSTRUMENTS, Instrument, MEMORY_UTILIZATION, STATES, STATUS, Shape};
use crate::export::holders::holders;
use bytes::Bytes;
use model::event::Health;
use model::{Device, DeviceId, DeviceInfo, DeviceKind, Metric, Snapshot, Vendor, Workload};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::collections::BTreeMap;

/// Since when a counter is followed, and where it was last.
#[derive(Debug, Clone, Copy)]
struct Start {
    since_ns: u64,
    last_ns: u64,
    value: f64,
}

/// Which stream a counter is: its attributes as text.
type Stream = String;

/// Makes messages, and remembers since when counters are followed.
#[derive(Debug, Default)]
pub struct Composer {
    starts: BTreeMap<Stream, Start>,
}

/// A device that is sent, with its attributes.
struct Subject<'a> {
    device: &'a Device,
    /// The pod that has it to itself.
    pod: Option<&'a Workload>,
}

impl Composer {
    /// A snapshot as the body of a push; `None` when it has nothing to say.
    pub fn body(&mut self, snapshot: &Snapshot) -> Option<Bytes> {
        let request = self.compose(snapshot);
        let empty =
            request.resource_metrics.iter().all(|r| r.scope_metrics.iter().all(|s| s.metrics.is_empty()));
        (!empty).then(|| request.encode_to_vec().into())
    }

    /// A snapshot as a message.
    pub fn compose(&mut self, snapshot: &Snapshot) -> ExportMetricsServiceRequest {
        let now_ns = u64::try_from(snapshot.frame.at.wall_ms).unwrap_or(0) * 1_000_000;
        let subjects = subjects(snapshot);
        let mut page = Page { now_ns, before: std::mem::take(&mut self.starts), after: BTreeMap::new() };
        let mut metrics: Vec<_> = INSTRUMENTS
            .iter()
            .map(|instrument| readings(snapshot, &subjects, instrument, &mut page))
            .collect();
        metrics.push(memory_utilization(snapshot, &subjects, &mut page));
        metrics.push(status(snapshot, &subjects, &mut page));
        metrics.retain(|metric| !points(metric).is_empty());
        // What was not sent this time begins anew when it comes back.
        self.starts = page.after;
        let scope = InstrumentationScope {
            name: "wattkeeper".into(),
            version: snapshot.node.version.clone(),
            ..InstrumentationScope::default()
        };
        let scope_metrics =
            vec![wire::ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
        let resource = Some(resource(snapshot));
        let resource_metrics =
            vec![wire::ResourceMetrics { resource, scope_metrics, schema_url: String::new() }];
        ExportMetricsServiceRequest { resource_metrics }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource(snapshot: &Snapshot) -> Resource {
    let node = &snapshot.node;
    let attributes = vec![
        text("service.name", "wattkeeper"),
        text("service.version", &node.version),
        text("host.name", &node.host),
        // Whoever reads must be able to tell a simulated node from a real one.
        text("wattkeeper.rig", node.rig.as_str()),
    ];
    Resource { attributes, ..Resource::default() }
}

/// The accelerators and partitions that are there, their links, and the accelerators that are lost and known to be.
fn subjects(snapshot: &Snapshot) -> Vec<Subject<'_>> {
    let wanted = |device: &&Device| match device.info.kind {
        DeviceKind::Gpu | DeviceKind::Npu => !device.gone || snapshot.health(device.id) == Health::Faulty,
        DeviceKind::Partition | DeviceKind::Link => !device.gone,
        _ => false,
    };
    let subject = |device| Subject { device, pod: only_pod(snapshot, device) };
    snapshot.frame.devices.iter().filter(wanted).map(subject).collect()
}

fn only_pod<'a>(snapshot: &'a Snapshot, device: &Device) -> Option<&'a Workload> {
    match holders(snapshot, device.id).as_slice() {
        [holder] => Some(holder.workload),
        _ => None,
    }
}

const fn vendor(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Nvidia => "NVIDIA",
        Vendor::Amd => "AMD",
        Vendor::Intel => "Intel",
        Vendor::Huawei => "Huawei",
        Vendor::Unknown => "",
    }
}

impl Subject<'_> {
    /// The attributes of a point, those of which nothing is known left out.
    fn attributes(&self, about: About, further: &[(&str, &str)]) -> Vec<KeyValue> {
        let info: &DeviceInfo = &self.device.info;
        let known = |name: &str| info.attributes.get(name).map_or("", String::as_str);
        let (id, name, parent) = match about {
            About::Sensor(place) => {
                (format!("{}/{place}", info.key), format!("{} {place}", info.name), info.key.as_str())
            }
            _ => (info.key.clone(), info.name.clone(), info.parent.as_str()),
        };
        let mut list = vec![("hw.id", id.as_str()), ("hw.name", &name), ("hw.parent", parent)];
        list.extend([("hw.model", info.model.as_str()), ("hw.vendor", vendor(info.vendor))]);
        match about {
            About::Sensor(place) => list.push(("hw.sensor_location", place)),
            About::Link => {}
            About::Accelerator | About::Typed => list.extend([
                ("hw.serial_number", known("serial")),
                ("hw.driver_version", known("driver")),
                (
                    "hw.firmware_version",
                    if known("firmware").is_empty() { known("vbios") } else { known("firmware") },
                ),
            ]),
        }
        // Of the instruments for GPUs alone, only the points of a neural accelerator need to say what it is.
        if about == About::Typed || info.kind == DeviceKind::Npu {
            list.push(("hw.type", if info.kind == DeviceKind::Npu { "npu" } else { "gpu" }));
        }
        if let Some(pod) = self.pod {
            list.extend([("k8s.namespace.name", pod.namespace.as_str()), ("k8s.pod.name", &pod.pod)]);
            list.extend([("k8s.pod.uid", pod.pod_uid.as_str()), ("k8s.container.name", &pod.container)]);
        }
        list.extend(further);
        list.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value)).collect()
    }
}

/// The time of a message and the counters in it.
struct Page {
    now_ns: u64,
    before: BTreeMap<Stream, Start>,
    after: BTreeMap<Stream, Start>,
}

impl Page {
    fn point(
        &mut self,
        instrument: &Instrument,
        attributes: Vec<KeyValue>,
        value: f64,
    ) -> wire::NumberDataPoint {
        let start_time_unix_nano = match instrument.shape {
            Shape::Counter => self.start(stream(instrument, &attributes), value),
            Shape::Gauge | Shape::UpDown => 0,
        };
        let value = if instrument.whole {
            // Counts are plausible up to 2^64; what is past 2^63 stays there.
            wire::number_data_point::Value::AsInt(value as i64)
        } else {
            wire::number_data_point::Value::AsDouble(value)
        };
        wire::NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano: self.now_ns,
            value: Some(value),
            ..wire::NumberDataPoint::default()
        }
    }

    /// Since when a counter is followed: from the first time it was seen, and from the time before it fell.
    fn start(&mut self, stream: Stream, value: f64) -> u64 {
        let since_ns = match self.before.get(&stream) {
            Some(start) if value >= start.value => start.since_ns,
            Some(start) => start.last_ns,
            None => self.now_ns,
        };
        self.after.insert(stream, Start { since_ns, last_ns: self.now_ns, value });
        since_ns
    }
}

fn stream(instrument: &Instrument, attributes: &[KeyValue]) -> Stream {
    let mut stream = instrument.name.to_owned();
    for KeyValue { value, .. } in attributes {
        if let Some(any_value::Value::StringValue(value)) =
            value.as_ref().and_then(|value| value.value.as_ref())
        {
            stream.push('\0');
            stream.push_str(value);
        }
    }
    stream
}

fn metric(instrument: &Instrument, data_points: Vec<wire::NumberDataPoint>) -> wire::Metric {
    let sum = |is_monotonic| {
        wire::metric::Data::Sum(wire::Sum {
            data_points: data_points.clone(),
            aggregation_temporality: wire::AggregationTemporality::Cumulative.into(),
            is_monotonic,
        })
    };
    let data = match instrument.shape {
        Shape::Counter => sum(true),
        Shape::UpDown => sum(false),
        Shape::Gauge => wire::metric::Data::Gauge(wire::Gauge { data_points }),
    };
    wire::Metric {
        name: instrument.name.to_owned(),
        description: instrument.help.to_owned(),
        unit: instrument.unit.to_owned(),
        data: Some(data),
        ..wire::Metric::default()
    }
}

/// The points of a metric that this file makes.
fn points(metric: &wire::Metric) -> &[wire::NumberDataPoint] {
    match &metric.data {
        Some(wire::metric::Data::Gauge(gauge)) => &gauge.data_points,
        Some(wire::metric::Data::Sum(sum)) => &sum.data_points,
        _ => &[],
    }
}

fn readings(
    snapshot: &Snapshot,
    subjects: &[Subject<'_>],
    instrument: &Instrument,
    page: &mut Page,
) -> wire::Metric {
    let mut found = Vec::new();
    for point in instrument.points {
        for subject in subjects
            .iter()
            .filter(|s| (s.device.info.kind == DeviceKind::Link) == (point.about == About::Link))
        {
            if let Some(value) = snapshot.frame.value(subject.device.id, point.metric) {
                let attributes = subject.attributes(point.about, point.attributes);
                found.push(page.point(instrument, attributes, value));
            }
        }
    }
    metric(instrument, found)
}

fn memory_utilization(snapshot: &Snapshot, subjects: &[Subject<'_>], page: &mut Page) -> wire::Metric {
    let share = |id: DeviceId| {
        let size = snapshot.frame.value(id, Metric::MemorySize).filter(|size| *size > 0.0)?;
        Some(snapshot.frame.value(id, Metric::MemoryUsed)? / size)
    };
    let point = |subject: &Subject<'_>| {
        let attributes = subject.attributes(About::Accelerator, &[]);
        Some(page.point(&MEMORY_UTILIZATION, attributes, share(subject.device.id)?))
    };
    let found = subjects.iter().filter_map(point).collect();
    metric(&MEMORY_UTILIZATION, found)
}

/// The state of an accelerator as the conventions call it; `None` when it is not known.
///
/// A failure is predicted when a row of memory could not be replaced or a bank has no spare row left, which NVIDIA's
/// memory error management names as reasons for replacing the board.
fn state(snapshot: &Snapshot, device: DeviceId) -> Option<&'static str> {
    let frame = &snapshot.frame;
    let worn = frame.flag(device, Metric::RowRemapFailed) == Some(true)
        || frame.value(device, Metric::RemapBanksNone).is_some_and(|banks| banks > 0.0);
    match snapshot.health(device) {
        Health::Faulty => Some("failed"),
        _ if worn => Some("predicted_failure"),
        Health::Degraded => Some("degraded"),
        Health::Healthy => Some("ok"),
        Health::Unknown => None,
    }
}

fn status(snapshot: &Snapshot, subjects: &[Subject<'_>], page: &mut Page) -> wire::Metric {
    let mut found = Vec::new();
    for subject in subjects.iter().filter(|subject| subject.device.info.kind.is_accelerator()) {
        let holds = state(snapshot, subject.device.id);
        for known in STATES {
            let attributes = subject.attributes(About::Typed, &[("hw.state", known)]);
            found.push(page.point(&STATUS, attributes, f64::from(u8::from(holds == Some(known)))));
        }
    }
    metric(&STATUS, found)
}
