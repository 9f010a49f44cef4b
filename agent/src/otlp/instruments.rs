//! The instruments of OpenTelemetry's hardware conventions that wattkeeper fills, and from which metrics.
use model::Metric;

/// What an instrument is to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The present value.
    Gauge,
    /// A sum that goes up and down: cumulative, not monotonic.
    UpDown,
    /// A sum that only grows: cumulative, monotonic.
    Counter,
}

/// What a point is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The accelerator or its partition.
    Accelerator,
    /// The same, said with `hw.type`, in the instruments that every sort of hardware shares.
    Typed,
    /// A sensor or part of it, with an identity of its own and the accelerator as its parent.
    Sensor(&'static str),
    /// One of its links.
    Link,
}

/// One series of an instrument.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) metric: Metric,
    pub(super) about: About,
    pub(super) attributes: &'static [(&'static str, &'static str)],
}

/// One instrument.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) shape: Shape,
    /// Whether values are whole numbers.
    pub(super) whole: bool,
    pub(super) help: &'static str,
    pub(super) points: &'static [Point],
}

const fn point(metric: Metric, about: About, attributes: &'static [(&'static str, &'static str)]) -> Point {
    Point { metric, about, attributes }
}

const fn sensor(
    metric: Metric,
    place: &'static str,
    attributes: &'static [(&'static str, &'static str)],
) -> Point {
    point(metric, About::Sensor(place), attributes)
}

use About::{Accelerator, Link, Typed};

/// Every instrument but `hw.status` and `hw.gpu.memory.utilization`, which are made of several readings.
///
/// Source: OpenTelemetry semantic conventions, hardware, development status of 2026-08.
pub(super) const INSTRUMENTS: &[Instrument] = &[
    Instrument {
        name: "hw.gpu.utilization",
        unit: "1",
        shape: Shape::Gauge,
        whole: false,
        help: "Fraction of time spent in a specific task.",
        points: &[
            point(Metric::Utilization, Accelerator, &[("hw.gpu.task", "general")]),
            point(Metric::EncoderUtilization, Accelerator, &[("hw.gpu.task", "encoder")]),
            point(Metric::DecoderUtilization, Accelerator, &[("hw.gpu.task", "decoder")]),
        ],
    },
    Instrument {
        name: "hw.gpu.memory.usage",
        unit: "By",
        shape: Shape::UpDown,
        whole: true,
        help: "Device memory in use.",
        points: &[point(Metric::MemoryUsed, Accelerator, &[])],
    },
    Instrument {
        name: "hw.gpu.memory.limit",
        unit: "By",
        shape: Shape::UpDown,
        whole: true,
        help: "Device memory in all.",
        points: &[point(Metric::MemorySize, Accelerator, &[])],
    },
    Instrument {
        name: "hw.gpu.io",
        unit: "By",
        shape: Shape::Counter,
        whole: true,
        help: "Data moved over a link to another accelerator.",
        points: &[
            point(Metric::LinkReceived, Link, &[("network.io.direction", "receive")]),
            point(Metric::LinkSent, Link, &[("network.io.direction", "transmit")]),
        ],
    },
    Instrument {
        name: "hw.errors",
        unit: "{error}",
        shape: Shape::Counter,
        whole: true,
        help: "Errors encountered by the component.",
        points: &[
            point(Metric::EccCorrectedVolatile, Typed, &[("error.type", "ecc_corrected")]),
            point(Metric::EccUncorrectedVolatile, Typed, &[("error.type", "ecc_uncorrected")]),
            point(Metric::XidErrors, Typed, &[("error.type", "xid")]),
            point(Metric::PcieReplays, Typed, &[("error.type", "pcie_replay")]),
            point(Metric::LinkErrorsCrc, Typed, &[("error.type", "link_crc")]),
            point(Metric::LinkErrorsReplay, Typed, &[("error.type", "link_replay")]),
            point(Metric::LinkErrorsRecovery, Typed, &[("error.type", "link_recovery")]),
            point(Metric::LinkErrorsOther, Typed, &[("error.type", "link_other")]),
        ],
    },
    Instrument {
        name: "hw.power",
        unit: "W",
        shape: Shape::Gauge,
        whole: false,
        help: "Instantaneous power consumed by the component.",
        points: &[point(Metric::PowerInstant, Typed, &[])],
    },
    Instrument {
        name: "hw.energy",
        unit: "J",
        shape: Shape::Counter,
        whole: false,
        help: "Energy consumed by the component.",
        points: &[point(Metric::Energy, Typed, &[])],
    },
    Instrument {
        name: "hw.temperature",
        unit: "Cel",
        shape: Shape::Gauge,
        whole: false,
        help: "Temperature in degrees Celsius.",
        points: &[
            sensor(Metric::Temperature, "core", &[]),
            sensor(Metric::TemperatureMemory, "memory", &[]),
            sensor(Metric::TemperatureHotspot, "hotspot", &[]),
            sensor(Metric::TemperatureRegulator, "regulator", &[]),
        ],
    },
    Instrument {
        name: "hw.temperature.limit",
        unit: "Cel",
        shape: Shape::Gauge,
        whole: false,
        help: "Temperature limit in degrees Celsius.",
        points: &[
            sensor(Metric::TemperatureSlowdown, "core", &[("hw.limit_type", "high.degraded")]),
            sensor(Metric::TemperatureShutdown, "core", &[("hw.limit_type", "high.critical")]),
            sensor(Metric::TemperatureMemoryMax, "memory", &[("hw.limit_type", "high.degraded")]),
        ],
    },
    Instrument {
        name: "hw.fan.speed_ratio",
        unit: "1",
        shape: Shape::Gauge,
        whole: false,
        help: "Fan speed as a fraction of its maximum.",
        points: &[sensor(Metric::FanSpeed, "fan", &[])],
    },
    Instrument {
        name: "hw.voltage",
        unit: "V",
        shape: Shape::Gauge,
        whole: false,
        help: "Supply voltage of the die.",
        points: &[sensor(Metric::Voltage, "core", &[])],
    },
];

/// The share of device memory in use, made of two readings.
pub(super) const MEMORY_UTILIZATION: Instrument = Instrument {
    name: "hw.gpu.memory.utilization",
    unit: "1",
    shape: Shape::Gauge,
    whole: false,
    help: "Fraction of device memory in use.",
    points: &[],
};

/// One point a state; the state that holds is 1, the others 0, and all are 0 when the state is not known.
pub(super) const STATUS: Instrument = Instrument {
    name: "hw.status",
    unit: "1",
    shape: Shape::UpDown,
    whole: true,
    help: "Operational status: 1 for the state that holds.",
    points: &[],
};

/// The states of `hw.status` that wattkeeper tells apart.
pub(super) const STATES: [&str; 4] = ["ok", "degraded", "predicted_failure", "failed"];
