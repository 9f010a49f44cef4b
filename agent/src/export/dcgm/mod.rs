//! The readings of NVIDIA GPUs under the names that DCGM's exporter gives them, so that what queries those finds them.
//!
//! Two generations of names are served: `dcgm-4.8`, the long-known ones, and `dcgm-4.9`, with base units. [`table`] is the
//! one list of them. What is not known is left out: there is no sentinel, no NaN and no empty family.
//!
//! **A GPU in partitions (MIG).** A row that its partitions have themselves is written for them alone, with
//! `GPU_I_PROFILE` and `GPU_I_ID`; every other row is written once, for the whole. So nothing is counted twice in a sum.
//!
//! **Pods.** A device that one pod has to itself is written once with the pod's labels. One that several share is written
//! once a pod. Power, memory in use and utilisation are then the pod's share, and what no pod has of them is one more
//! series without a pod, so that they add up to the device's; a share that is not known is left out and lies in that rest.
//! Energy is each pod's own account; the rest of it is left out, because a rest that jumps when a pod goes would look like a
//! counter's reset. Everything else describes the device and is repeated.
mod derive;
mod subject;
mod table;

use super::families::{family, sample};
use super::holders::Holder;
use model::metric::MetricKind;
use model::{Frame, Snapshot};
use prometheus::TextEncoder;
use prometheus::proto::{LabelPair, MetricFamily};
use subject::{Gpu, Subject, pod_labels};
use table::{ROWS, Row, Split, Take};

/// A generation of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Up to 4.8.
    #[default]
    V48,
    /// From 4.9 on.
    V49,
}

impl Profile {
    /// Every generation.
    pub const ALL: [Self; 2] = [Self::V48, Self::V49];
    /// Their names, in the same order.
    pub const NAMES: [&str; 2] = ["dcgm-4.8", "dcgm-4.9"];

    /// The generation of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().zip(Self::NAMES).find(|(_, known)| *known == name).map(|(profile, _)| profile)
    }
}

/// How the label with the host's name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostLabel {
    /// As the profile's exporter does: `Hostname` in 4.8 and `hostname` in 4.9.
    #[default]
    Profile,
    /// `Hostname`, as exporters up to 4.8.2 do.
    Upper,
    /// `hostname`, as exporters from 4.8.3 on do.
    Lower,
}

impl HostLabel {
    /// The words of the configuration.
    pub const NAMES: [&str; 3] = ["profile", "Hostname", "hostname"];

    /// The choice of this word.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Profile, Self::Upper, Self::Lower];
        all.into_iter().zip(Self::NAMES).find(|(_, known)| *known == name).map(|(choice, _)| choice)
    }
}

/// What is served where a reader does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// The generation of names.
    pub profile: Profile,
    /// How the label with the host's name is written.
    pub host_label: HostLabel,
}

/// Names of labels that differ between releases.
#[derive(Debug)]
struct Names {
    host: &'static str,
    driver: &'static str,
}

impl Names {
    fn of(profile: Profile, host_label: HostLabel) -> Self {
        let lower = match host_label {
            HostLabel::Profile => profile == Profile::V49,
            HostLabel::Upper => false,
            HostLabel::Lower => true,
        };
        Self {
            host: if lower { "hostname" } else { "Hostname" },
            driver: match profile {
                Profile::V48 => "DCGM_FI_DRIVER_VERSION",
                Profile::V49 => "DCGM_FI_SYSTEM_DRIVER_VERSION",
            },
        }
    }
}

/// Renders a snapshot as Prometheus text 0.0.4. There is no OpenMetrics form: the old names of counters cannot be in it.
pub fn render(snapshot: &Snapshot, options: Options) -> String {
    let gpus = subject::gpus(snapshot, &Names::of(options.profile, options.host_label));
    let families = ROWS.iter().map(|row| rows_family(&snapshot.frame, &gpus, row, options.profile));
    let families: Vec<_> = families.filter(|family| !family.get_metric().is_empty()).collect();
    let mut text = String::with_capacity(64 * 1024);
    // The encoder fails on a family without name or samples only, and those are left out before.
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        tracing::error!("the page of DCGM's names is incomplete: {error}");
    }
    text
}

fn rows_family(frame: &Frame, gpus: &[Gpu<'_>], row: &Row, profile: Profile) -> MetricFamily {
    let face = match profile {
        Profile::V48 => &row.old,
        Profile::V49 => &row.new,
    };
    let mut done = family(face.name, face.help, face.kind);
    let mut put = |labels: Vec<LabelPair>, value: f64| {
        done.mut_metric().push(sample(labels, face.scale.apply(value), face.kind));
    };
    for gpu in gpus {
        if let Take::Link(metric) = row.take {
            for link in &gpu.links {
                frame
                    .value(link.device.id, metric)
                    .into_iter()
                    .for_each(|value| put(link.labels.clone(), value));
            }
            continue;
        }
        let value = |subject: &Subject<'_>| match row.take {
            Take::Metric(metric) => frame.value(subject.device.id, metric),
            Take::Made(make) => make(frame, subject.device.id),
            Take::Link(_) => None,
        };
        let parts: Vec<_> = gpu.partitions.iter().filter_map(|part| Some((part, value(part)?))).collect();
        for (part, value) in &parts {
            split(part, row.split, *value, true, &mut put);
        }
        if let (true, Some(value)) = (parts.is_empty(), value(&gpu.whole)) {
            split(&gpu.whole, row.split, value, gpu.partitions.is_empty(), &mut put);
        }
    }
    done
}

/// Below this part of the whole, what no pod has is what rounding left over. Ours.
const REST_MIN: f64 = 1e-6;

/// Writes a device's value, once a pod where pods hold it.
///
/// `alone`: a single pod has the whole device, and not a partition of it.
fn split(
    subject: &Subject<'_>,
    how: Split,
    value: f64,
    alone: bool,
    put: &mut impl FnMut(Vec<LabelPair>, f64),
) {
    let holders = &subject.holders;
    let labels = |holder: &Holder<'_>| [subject.labels.clone(), pod_labels(holder.workload)].concat();
    if holders.is_empty() {
        return put(subject.labels.clone(), value);
    }
    let own = |holder: &Holder<'_>| {
        let share = holder.share?;
        match how {
            Split::Repeat => None,
            Split::Power => share.power.map(|power| power.0),
            Split::Energy => Some(share.energy_j),
            // Below 2^53, so the conversion is exact.
            Split::Memory => share.memory_bytes.map(|bytes| bytes as f64),
            Split::Utilization => share.utilization,
        }
    };
    let only = alone && holders.len() == 1;
    match how {
        Split::Repeat => holders.iter().for_each(|holder| put(labels(holder), value)),
        Split::Energy => {
            for holder in holders {
                own(holder)
                    .or(only.then_some(value))
                    .into_iter()
                    .for_each(|energy| put(labels(holder), energy));
            }
        }
        Split::Power | Split::Memory | Split::Utilization if only => put(labels(&holders[0]), value),
        Split::Power | Split::Memory | Split::Utilization => {
            let mut rest = value;
            for (holder, part) in holders.iter().filter_map(|holder| Some((holder, own(holder)?))) {
                put(labels(holder), part);
                rest -= part;
            }
            if rest > REST_MIN * value {
                put(subject.labels.clone(), rest);
            }
        }
    }
}

/// Every name of a generation with whether it is a counter, in the order in which they are served.
pub fn names(profile: Profile) -> impl Iterator<Item = (&'static str, bool)> {
    ROWS.iter().map(move |row| {
        let face = if profile == Profile::V48 { &row.old } else { &row.new };
        (face.name, face.kind == MetricKind::Counter)
    })
}

#[cfg(test)]
mod tests;
