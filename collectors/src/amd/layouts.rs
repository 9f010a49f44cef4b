//! The `gpu_metrics` tables by version: where each field lies, in which unit. From the kernel's `kgd_pp_interface.h`,
//! under the C rules of alignment.
use model::Metric;
use model::Metric::{
    ClockMemory, ClockSm, ClockSoc, ClockVideo, DecoderUtilization, Energy, FanRpm, JpegUtilization,
    MemoryActivity, PcieGeneration, PcieReplays, PcieWidth, PowerAverage, PowerInstant, Temperature,
    TemperatureHotspot, TemperatureMemory, TemperatureRegulator, Utilization, Voltage,
};

/// How wide a number is; one of all ones is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    U8,
    /// Two bytes.
    U16,
    /// Four bytes.
    U32,
    /// Eight bytes.
    U64,
}

impl Width {
    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }
}

/// What becomes of the numbers of a field that are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fold {
    /// Their mean, times a scale.
    Mean(f64),
    /// The largest, times a scale.
    Most(f64),
    /// A speed in 0.1 GT/s becomes a PCIe generation.
    Speed,
    /// A counter of 2^-16 J (15.259 uJ); one that stands at 0 is not kept by that firmware.
    Energy,
}

/// One field, or one array of fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// What it is.
    pub metric: Metric,
    /// Its offset in bytes.
    pub at: usize,
    /// The width of each number.
    pub width: Width,
    /// How many numbers.
    pub count: usize,
    /// What becomes of them.
    pub fold: Fold,
}

/// XGMI links: offsets of bus width and speed (in Gbit/s a lane), of what was read and written (KiB, eight links each),
/// and of their states where the table has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// Of the width; the speed follows it.
    pub rate: usize,
    /// Of the data read; those written follow.
    pub moved: usize,
    /// Of the states: 1 is up, 0 is down.
    pub state: Option<usize>,
}

/// One version of the table.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Format and content revision.
    pub version: (u8, u8),
    /// The sizes that the structure was published with, in bytes.
    pub sizes: &'static [usize],
    /// Its fields.
    pub fields: &'static [&'static [Field]],
    /// Offset of the throttle status that means the same for every product (`indep_throttle_status`). The older one means
    /// something else on each and is not read.
    pub throttle: Option<usize>,
    /// Offset of the accumulated throttle residencies: ticks, processor hot, power, socket, regulators, memory.
    pub residency: Option<usize>,
    /// The links.
    pub links: Option<Links>,
}

const fn many(metric: Metric, at: usize, count: usize, fold: Fold) -> Field {
    Field { metric, at, width: Width::U16, count, fold }
}

const fn one(metric: Metric, at: usize, scale: f64) -> Field {
    many(metric, at, 1, Fold::Mean(scale))
}

const MEGA: f64 = 1e6;
const PERCENT: f64 = 0.01;

/// What v1_0 to v1_3 share: `heat` is the offset of six temperatures, `clock` that of the present clocks, which all have.
const fn classic(heat: usize, clock: usize) -> [Field; 13] {
    [
        one(Temperature, heat, 1.0),
        one(TemperatureHotspot, heat + 2, 1.0),
        one(TemperatureMemory, heat + 4, 1.0),
        many(TemperatureRegulator, heat + 6, 3, Fold::Most(1.0)),
        one(Utilization, heat + 12, PERCENT),
        one(MemoryActivity, heat + 14, PERCENT),
        one(DecoderUtilization, heat + 16, PERCENT),
        one(PowerAverage, heat + 18, 1.0),
        one(ClockSm, clock, MEGA),
        one(ClockSoc, clock + 2, MEGA),
        one(ClockMemory, clock + 4, MEGA),
        one(ClockVideo, clock + 6, MEGA),
        one(FanRpm, clock + 18, 1.0),
    ]
}

const CLASSIC_0: &[Field] = &classic(16, 54);
const CLASSIC: &[Field] = &classic(4, 54);
const CLASSIC_0_REST: &[Field] = &[
    Field { metric: Energy, at: 36, width: Width::U32, count: 1, fold: Fold::Energy },
    Field { metric: PcieWidth, at: 74, width: Width::U8, count: 1, fold: Fold::Mean(1.0) },
    Field { metric: PcieGeneration, at: 75, width: Width::U8, count: 1, fold: Fold::Speed },
];
const CLASSIC_REST: &[Field] = &[
    Field { metric: Energy, at: 24, width: Width::U64, count: 1, fold: Fold::Energy },
    one(PcieWidth, 74, 1.0),
    many(PcieGeneration, 76, 1, Fold::Speed),
];
const VOLTAGE: &[Field] = &[one(Voltage, 106, 1e-3)];

/// What v1_4 and later share, by the offsets that differ: energy, PCIe width, PCIe replays, first of the graphics clocks.
const fn instinct(energy: usize, width: usize, replays: usize, clock: usize) -> [Field; 14] {
    [
        one(TemperatureHotspot, 4, 1.0),
        one(TemperatureMemory, 6, 1.0),
        one(TemperatureRegulator, 8, 1.0),
        one(PowerInstant, 10, 1.0),
        one(Utilization, 12, PERCENT),
        one(MemoryActivity, 14, PERCENT),
        Field { metric: Energy, at: energy, width: Width::U64, count: 1, fold: Fold::Energy },
        one(PcieWidth, width, 1.0),
        many(PcieGeneration, width + 2, 1, Fold::Speed),
        Field { metric: PcieReplays, at: replays, width: Width::U64, count: 1, fold: Fold::Mean(1.0) },
        many(ClockSm, clock, 8, Fold::Mean(MEGA)),
        many(ClockSoc, clock + 16, 4, Fold::Mean(MEGA)),
        many(ClockVideo, clock + 24, 4, Fold::Mean(MEGA)),
        one(ClockMemory, clock + 40, MEGA),
    ]
}

const INSTINCT_4: &[Field] = &instinct(24, 48, 88, 240);
const INSTINCT_5: &[Field] = &instinct(88, 112, 152, 312);
const INSTINCT_6_FIRST: &[Field] = &instinct(88, 136, 176, 336);
const INSTINCT_6: &[Field] = &instinct(16, 60, 104, 264);
const INSTINCT_7: &[Field] = &instinct(24, 68, 112, 296);
/// Video and JPEG engines of v1_4 to the first v1_6.
const VIDEO: &[Field] = &[many(DecoderUtilization, 16, 4, Fold::Most(PERCENT))];
const JPEG: &[Field] = &[many(JpegUtilization, 24, 32, Fold::Most(PERCENT))];

/// What tables of processors with graphics say in a stated unit: clocks.
const fn apu(clock: usize) -> [Field; 4] {
    [
        one(ClockSm, clock, MEGA),
        one(ClockSoc, clock + 2, MEGA),
        one(ClockMemory, clock + 4, MEGA),
        one(ClockVideo, clock + 8, MEGA),
    ]
}

const APU_0: &[Field] = &apu(80);
const APU: &[Field] = &apu(76);
/// v2_4 states units: 0.01 degrees, 0.01 %, mW, mV.
const APU_4: &[Field] = &[
    one(Temperature, 4, 0.01),
    one(Utilization, 28, PERCENT * 0.01),
    one(DecoderUtilization, 30, PERCENT * 0.01),
    one(PowerAverage, 40, 1e-3),
    one(Voltage, 156, 1e-3),
];
const APU_3_0: &[Field] = &[
    one(Utilization, 42, PERCENT),
    one(DecoderUtilization, 44, PERCENT),
    Field { metric: PowerAverage, at: 112, width: Width::U32, count: 1, fold: Fold::Mean(1e-3) },
    one(ClockSm, 174, MEGA),
    one(ClockSoc, 176, MEGA),
    one(ClockVideo, 184, MEGA),
    one(ClockMemory, 186, MEGA),
];

const fn layout(version: (u8, u8), sizes: &'static [usize], fields: &'static [&'static [Field]]) -> Layout {
    Layout { version, sizes, fields, throttle: None, residency: None, links: None }
}

const fn links(rate: usize, moved: usize, state: Option<usize>) -> Option<Links> {
    Some(Links { rate, moved, state })
}

/// Every version that has a layout. v1_9 is a list of attributes and has none. v1_6 was published twice, v1_8 with two
/// sizes of its last part, which is not read.
pub const LAYOUTS: &[Layout] = &[
    layout((1, 0), &[80], &[CLASSIC_0, CLASSIC_0_REST]),
    layout((1, 1), &[96], &[CLASSIC, CLASSIC_REST]),
    layout((1, 2), &[104], &[CLASSIC, CLASSIC_REST]),
    Layout { throttle: Some(112), ..layout((1, 3), &[120], &[CLASSIC, CLASSIC_REST, VOLTAGE]) },
    Layout { links: links(52, 104, None), ..layout((1, 4), &[288], &[INSTINCT_4, VIDEO]) },
    Layout { links: links(116, 176, None), ..layout((1, 5), &[360], &[INSTINCT_5, VIDEO, JPEG]) },
    Layout {
        residency: Some(104),
        links: links(140, 200, None),
        ..layout((1, 6), &[384], &[INSTINCT_6_FIRST, VIDEO, JPEG])
    },
    Layout { residency: Some(32), links: links(64, 128, None), ..layout((1, 6), &[1664], &[INSTINCT_6]) },
    Layout {
        residency: Some(40),
        links: links(72, 136, Some(264)),
        ..layout((1, 7), &[2208], &[INSTINCT_7])
    },
    Layout {
        residency: Some(40),
        links: links(72, 136, Some(264)),
        ..layout((1, 8), &[3360, 3872], &[INSTINCT_7])
    },
    layout((2, 0), &[120], &[APU_0]),
    layout((2, 1), &[120], &[APU]),
    Layout { throttle: Some(120), ..layout((2, 2), &[128], &[APU]) },
    Layout { throttle: Some(120), ..layout((2, 3), &[152], &[APU]) },
    Layout { throttle: Some(120), ..layout((2, 4), &[168], &[APU, APU_4]) },
    layout((3, 0), &[264], &[APU_3_0]),
];
