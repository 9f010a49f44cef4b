//! Families of readings. Names come from the catalogue only; what is absent is left out, never NaN.
use model::catalogue::CATALOGUE;
use model::metric::{MetricKind, Row};
use model::{DeviceKind, Frame};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType};

/// A label.
pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    // Some readers of the format break on a brace inside a label value.
    let clean =
        if value.contains(['{', '}']) { value.replace('{', "(").replace('}', ")") } else { value.to_owned() };
    pair.set_value(clean);
    pair
}

/// A sample of a gauge or a counter.
pub(super) fn sample(labels: Vec<LabelPair>, value: f64, kind: MetricKind) -> Sample {
    let mut sample = if kind == MetricKind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut sample = Sample::default();
        sample.set_counter(counter);
        sample
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        Sample::from_gauge(gauge)
    };
    sample.set_label(labels);
    sample
}

/// A family without samples yet.
pub(super) fn family(name: &str, help: &str, kind: MetricKind) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(if kind == MetricKind::Counter { MetricType::COUNTER } else { MetricType::GAUGE });
    family
}

/// The families of all readings, empty ones included. A family's rows stand together in the catalogue, so one pass groups them.
pub(super) fn readings(frame: &Frame) -> Vec<MetricFamily> {
    let mut by_kind: [Vec<&model::Device>; DeviceKind::ALL.len()] = Default::default();
    for device in frame.devices.iter().filter(|device| !device.gone) {
        by_kind[device.info.kind as usize].push(device);
    }
    let mut families: Vec<MetricFamily> = Vec::with_capacity(128);
    let mut samples: Vec<Sample> = Vec::new();
    for (place, row) in CATALOGUE.iter().enumerate() {
        let devices = row.subjects.iter().flat_map(|kind| &by_kind[*kind as usize]);
        for device in devices {
            if let Some(value) = frame.value(device.id, row.metric) {
                samples.push(sample(labels(device, row), value, row.kind));
            }
        }
        if CATALOGUE.get(place + 1).is_none_or(|next| next.family != row.family) {
            let mut done = family(row.family, row.help, row.kind);
            done.set_metric(std::mem::take(&mut samples));
            families.push(done);
        }
    }
    families
}

fn labels(device: &model::Device, row: &Row) -> Vec<LabelPair> {
    let mut labels = Vec::with_capacity(2 + row.labels.len());
    labels.push(label("device", &device.info.key));
    labels.push(label("kind", device.info.kind.as_str()));
    labels.extend(row.labels.iter().map(|(name, value)| label(name, value)));
    labels
}
