//! InfiniBand ports: state, rate, traffic and errors from sysfs, Documentation/ABI/stable/sysfs-class-infiniband.
use super::file::{Gauge, Gauges, Kept, Seldom, absence, names, word};
use crate::Options;
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Reading, Timestamp};
use std::path::{Path, PathBuf};

/// Counter file, metric, scale. Data counters are in words of four bytes.
const COUNTERS: [(&str, Metric, f64); 10] = [
    ("port_rcv_data", Metric::PortReceived, 4.0),
    ("port_xmit_data", Metric::PortSent, 4.0),
    ("port_rcv_packets", Metric::PortPacketsReceived, 1.0),
    ("port_xmit_packets", Metric::PortPacketsSent, 1.0),
    ("symbol_error", Metric::PortSymbolErrors, 1.0),
    ("port_rcv_errors", Metric::PortReceiveErrors, 1.0),
    ("port_xmit_discards", Metric::PortTransmitDiscards, 1.0),
    ("link_downed", Metric::PortLinkDowned, 1.0),
    ("link_error_recovery", Metric::PortLinkRecovered, 1.0),
    ("port_xmit_wait", Metric::PortTransmitWait, 1.0),
];

/// Opens the source; a host without ports has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let class = options.roots.sys.join("class/infiniband");
    let ports = |card: String| {
        let folder = class.join(&card).join("ports");
        names(&folder, |_| true).into_iter().map(move |port| (format!("{card}/{port}"), folder.join(port)))
    };
    let found: Vec<_> = names(&class, |_| true).into_iter().flat_map(ports).collect();
    Ok((!found.is_empty()).then(|| Box::new(Infiniband { found, ports: Vec::new() }) as Box<dyn Collector>))
}

struct Port {
    gauges: Gauges,
    state: Kept,
    rate: Kept,
    rate_seldom: Seldom,
    up: Reading,
}

impl Port {
    /// Of the states `4: ACTIVE` alone carries data; `5: ACTIVE_DEFER` is a link that recovers.
    fn state(&mut self) -> Reading {
        match self.state.text() {
            Ok(text) => text
                .split(':')
                .next()
                .and_then(|number| number.trim().parse::<u8>().ok())
                .map_or(Reading::Absent(Absence::Implausible), |number| {
                    Reading::Value(f64::from(u8::from(number == 4)))
                }),
            Err(error) => Reading::Absent(absence(&error)),
        }
    }
}

/// Bytes a second in a text such as `200 Gb/sec (4X HDR)`.
fn speed(rate: &mut Kept) -> Reading {
    match rate.text() {
        Ok(text) => text
            .split_ascii_whitespace()
            .next()
            .and_then(|word| word.parse::<f64>().ok())
            .map_or(Reading::Absent(Absence::Implausible), |gigabits| {
                Metric::PortSpeed.reading(gigabits * 1e9 / 8.0)
            }),
        Err(error) => Reading::Absent(absence(&error)),
    }
}

struct Infiniband {
    found: Vec<(String, PathBuf)>,
    ports: Vec<Port>,
}

fn meet(key: &str, folder: &Path, batch: &mut Batch) -> Port {
    let mut info = DeviceInfo::new(DeviceKind::Port, key);
    info.attributes.insert("link".into(), word(&folder.join("link_layer")));
    let file = |(name, metric, scale): &(&str, Metric, f64)| {
        Gauge::new(*metric, folder.join("counters").join(name), *scale)
    };
    let gauges = Gauges { slot: batch.device(info), files: COUNTERS.iter().map(file).collect() };
    Port {
        gauges,
        state: Kept::new(folder.join("state")),
        rate: Kept::new(folder.join("rate")),
        rate_seldom: Seldom::new(),
        up: Reading::Absent(Absence::Unsupported),
    }
}

impl Collector for Infiniband {
    fn name(&self) -> &'static str {
        "infiniband"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.ports.is_empty() {
            self.ports = self.found.iter().map(|(key, folder)| meet(key, folder, batch)).collect();
        }
        for port in &mut self.ports {
            port.gauges.read(batch);
            let slot = port.gauges.slot;
            let up = port.state();
            let changed = up != port.up;
            port.up = up;
            batch.put(slot, Metric::PortUp, up);
            let rate = &mut port.rate;
            batch.put(slot, Metric::PortSpeed, port.rate_seldom.get(changed, || speed(rate)));
        }
        Ok(())
    }
}
