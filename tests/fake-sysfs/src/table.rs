//! `gpu_metrics` tables as the driver lays them out: fields in the order of the kernel's header, each at the next place that
//! fits its width, all ones where there is nothing.
use sim::Board;
use sim::board::reason;

/// Versions that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The oldest, whose fields are not where those of the next are.
    V1_0,
    /// Products up to MI200 and Radeon.
    V1_3,
    /// MI300 at first.
    V1_4,
    /// MI300 with JPEG engines.
    V1_5,
    /// MI300 with residencies, partitions and states of links.
    V1_7,
    /// Processors with graphics, in hundredths and thousandths.
    V2_4,
    /// The same, newest.
    V3_0,
}

/// What goes into a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Die, hottest spot, memory, in whole degrees.
    pub heat_c: [u16; 3],
    /// Share of time that the engines and the memory are busy, in percent.
    pub busy: [u16; 2],
    /// Power in watts.
    pub power_w: u16,
    /// Energy in joules.
    pub energy_j: f64,
    /// Graphics and memory clock in MHz.
    pub clock_mhz: [u16; 2],
    /// PCIe lanes, and speed in 0.1 GT/s.
    pub pcie: [u16; 2],
    /// PCIe replays.
    pub replays: u64,
    /// Bits of the throttle status.
    pub throttle: u64,
    /// Ticks, and those of them under a limiter.
    pub residency: [u32; 6],
    /// XGMI links in use, and KiB moved over each.
    pub links: (usize, u64),
}

impl Metrics {
    /// Of a board.
    pub fn of(board: &Board, residency: [u32; 6]) -> Self {
        let profile = board.profile();
        // Each is far inside the range of the number it becomes.
        let round = |value: f64| value.round() as u16;
        let when = |holds: u64, bits: u64| if board.reasons & holds != 0 { bits } else { 0 };
        let speed = [25, 50, 80, 160, 320, 640];
        Self {
            heat_c: [
                round(board.temperature_c - 4.0),
                round(board.temperature_c),
                round(board.memory_temperature_c()),
            ],
            busy: [round(board.busy * 100.0), round(board.memory_activity * 100.0)],
            power_w: round(board.sensor.average_w()),
            energy_j: board.energy_j,
            clock_mhz: [round(board.clock_hz / 1e6), round(profile.memory_clock_hz / 1e6)],
            pcie: [board.pcie_lanes() as u16, speed[profile.pcie_generation as usize - 1]],
            replays: board.replays,
            throttle: when(reason::SW_POWER_CAP, 1)
                | when(reason::HW_THERMAL, 1 << 36)
                | when(reason::HW_POWER_BRAKE, 1 << 47),
            residency,
            links: (7, (board.energy_j * 1000.0) as u64 + 1),
        }
    }
}

/// Firmware's ticks, one a millisecond, and those under a limiter.
pub(crate) fn advance(residency: &mut [u32; 6], board: &Board, passed_s: f64) {
    // Steps of a test are seconds at most.
    let ticks = (passed_s * 1e3) as u32;
    let under = |bits: u64| if board.reasons & bits != 0 { ticks } else { 0 };
    let grown =
        [ticks, under(reason::HW_POWER_BRAKE), under(reason::SW_POWER_CAP), under(reason::HW_THERMAL), 0, 0];
    residency.iter_mut().zip(grown).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
}

/// A table that grows field by field.
struct Fields(Vec<u8>);

impl Fields {
    fn at<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        while !self.0.len().is_multiple_of(N) {
            self.0.push(0xff);
        }
        self.0.extend(bytes);
        self
    }

    fn u8s(&mut self, values: &[u8]) -> &mut Self {
        for value in values {
            self.at([*value]);
        }
        self
    }

    fn u16s(&mut self, values: &[u16]) -> &mut Self {
        for value in values {
            self.at(value.to_le_bytes());
        }
        self
    }

    fn u32s(&mut self, values: &[u32]) -> &mut Self {
        for value in values {
            self.at(value.to_le_bytes());
        }
        self
    }

    fn u64s(&mut self, values: &[u64]) -> &mut Self {
        for value in values {
            self.at(value.to_le_bytes());
        }
        self
    }

    fn none16(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.u16s(&[u16::MAX]);
        }
        self
    }

    fn none64(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.u64s(&[u64::MAX]);
        }
        self
    }
}

/// The table of a version.
pub fn table(version: Version, metrics: &Metrics) -> Vec<u8> {
    let mut fields = Fields(vec![0; 4]);
    let (format, content, align) = match version {
        Version::V1_0 => (1, 0, 8),
        Version::V1_3 => (1, 3, 8),
        Version::V1_4 => (1, 4, 8),
        Version::V1_5 => (1, 5, 8),
        Version::V1_7 => (1, 7, 8),
        Version::V2_4 => (2, 4, 8),
        Version::V3_0 => (3, 0, 8),
    };
    match version {
        Version::V1_0 => classic_0(&mut fields, metrics),
        Version::V1_3 => classic(&mut fields, metrics),
        Version::V1_4 | Version::V1_5 | Version::V1_7 => instinct(&mut fields, metrics, version),
        Version::V2_4 => apu(&mut fields, metrics),
        Version::V3_0 => apu_3(&mut fields, metrics),
    }
    let mut bytes = fields.0;
    while !bytes.len().is_multiple_of(align) {
        bytes.push(0xff);
    }
    // The longest table has 2,208 bytes.
    let size = (bytes.len() as u16).to_le_bytes();
    bytes[..4].copy_from_slice(&[size[0], size[1], format, content]);
    bytes
}

/// Units of 2^-16 J.
fn units(metrics: &Metrics) -> u64 {
    (metrics.energy_j * 65_536.0) as u64
}

fn classic_0(fields: &mut Fields, metrics: &Metrics) {
    let Metrics { heat_c, busy, power_w, clock_mhz, pcie, .. } = *metrics;
    fields.u64s(&[1]).u16s(&heat_c).none16(3).u16s(&busy).none16(1).u16s(&[power_w]);
    // Four bytes hold 18 hours of a kilowatt and then begin again.
    fields.u32s(&[units(metrics) as u32]).none16(7).u16s(&[clock_mhz[0], u16::MAX, clock_mhz[1]]).none16(4);
    fields.u32s(&[0]).none16(1).u8s(&[pcie[0] as u8, pcie[1].min(255) as u8]);
}

fn classic(fields: &mut Fields, metrics: &Metrics) {
    let Metrics { heat_c, busy, power_w, clock_mhz, pcie, throttle, .. } = *metrics;
    fields.u16s(&heat_c).none16(3).u16s(&busy).none16(1).u16s(&[power_w]).u64s(&[units(metrics), 1]);
    fields.none16(7).u16s(&[clock_mhz[0], u16::MAX, clock_mhz[1]]).none16(4).u32s(&[0]).none16(1).u16s(&pcie);
    fields.none16(1).u32s(&[u32::MAX; 2]).none16(4).none64(1).none16(4).u64s(&[throttle]);
}

fn instinct(fields: &mut Fields, metrics: &Metrics, version: Version) {
    let Metrics { heat_c, busy, power_w, clock_mhz, pcie, replays, residency, links, .. } = *metrics;
    let newest = version == Version::V1_7;
    fields.u16s(&heat_c[1..]).none16(1).u16s(&[power_w]).u16s(&busy);
    if newest {
        fields.u64s(&[5300]);
    } else {
        fields.none16(4);
    }
    if version == Version::V1_5 {
        fields.none16(32);
    }
    fields.u64s(&[units(metrics), 1]);
    if newest {
        fields.u32s(&residency);
    } else {
        fields.u32s(&[u32::MAX]);
    }
    fields.u32s(&[0]).u16s(&pcie).u16s(&[16, 32]).u32s(&[u32::MAX; 2]).none64(3).u64s(&[replays]).none64(1);
    if version != Version::V1_4 {
        fields.u32s(&[0, 0]);
    }
    for share in [1, 2] {
        for link in 0..8 {
            fields.u64s(&[if link < links.0 { share * links.1 } else { 0 }]);
        }
    }
    if newest {
        for link in 0..8 {
            fields.u16s(&[u16::from(link < links.0)]);
        }
        fields.none16(1);
    }
    fields.none64(1).u16s(&[clock_mhz[0]; 8]).none16(12).u16s(&[clock_mhz[1]]);
    if newest {
        fields.u16s(&[1]).none64(8 * 29).u32s(&[0]);
    } else {
        fields.none16(1);
    }
}

fn apu(fields: &mut Fields, metrics: &Metrics) {
    let Metrics { heat_c, busy, power_w, clock_mhz, throttle, .. } = *metrics;
    fields.u16s(&[heat_c[0] * 100]).none16(11).u16s(&[busy[0] * 100]).none16(1).u64s(&[1]);
    fields.u16s(&[power_w.min(60) * 1000]).none16(11).none16(6).u16s(&[clock_mhz[0], u16::MAX, clock_mhz[1]]);
    fields.none16(13).u32s(&[0]).none16(4).u64s(&[throttle]).none16(12).none16(2).u16s(&[900]).none16(3);
}

fn apu_3(fields: &mut Fields, metrics: &Metrics) {
    let Metrics { heat_c, busy, power_w, clock_mhz, .. } = *metrics;
    fields
        .u16s(&[heat_c[0]])
        .none16(18)
        .u16s(&[busy[0]])
        .none16(29)
        .u64s(&[1])
        .u32s(&[u32::from(power_w) * 1000]);
    fields.none16(1).u32s(&[u32::MAX; 4]).none16(19).u16s(&[clock_mhz[0]]).none16(5).u16s(&[clock_mhz[1]]);
    fields.none16(19).u32s(&[0; 8]);
}
