//! Reads a `gpu_metrics` table: the version decides the layout, and nothing outside the table is ever read.
use super::layouts::{Field, Fold, LAYOUTS, Layout, Width};
use crate::sysfs::generation;
use model::Metric;

/// Bytes of the header: size, format revision, content revision.
const HEADER: usize = 4;
/// XGMI links of a table.
pub const LINKS_MAX: usize = 8;

/// Why a table cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is shorter than it says, or than its header.
    Short,
    /// Its version has no layout here.
    Unknown,
    /// Its size is not the one of its version.
    Size,
}

/// A table whose version is known and which is as long as that version.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    layout: &'static Layout,
    bytes: &'a [u8],
}

/// One XGMI link.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Link {
    /// Whether it is up, where the table says.
    pub up: Option<bool>,
    /// Its speed in one direction, in bytes a second.
    pub speed: Option<f64>,
    /// Bytes read and written over it.
    pub moved: [Option<f64>; 2],
}

impl<'a> Table<'a> {
    /// Recognises a table.
    ///
    /// # Errors
    /// When it is cut, or of a version or size that was never published.
    pub fn of(bytes: &'a [u8]) -> Result<Self, Fault> {
        let &[low, high, format, content, ..] = bytes else { return Err(Fault::Short) };
        let size = usize::from(u16::from_le_bytes([low, high]));
        let mut versions = LAYOUTS.iter().filter(|layout| layout.version == (format, content)).peekable();
        if versions.peek().is_none() {
            return Err(Fault::Unknown);
        }
        let layout = versions.find(|layout| layout.sizes.contains(&size)).ok_or(Fault::Size)?;
        let bytes = bytes.get(..size).filter(|bytes| bytes.len() >= HEADER).ok_or(Fault::Short)?;
        Ok(Self { layout, bytes })
    }

    /// Every metric that the table has a value for, in base units. Whether a value can be true is for the catalogue to say.
    pub fn metrics(&self) -> impl Iterator<Item = (Metric, f64)> {
        let fields = self.layout.fields.iter().flat_map(|fields| fields.iter());
        fields.filter_map(|field| Some((field.metric, self.fold(field)?)))
    }

    fn fold(&self, field: &Field) -> Option<f64> {
        // The largest whole number that a double holds exactly is far above any of these but a broken counter.
        let numbers = (0..field.count)
            .filter_map(|n| self.number(field.at + n * field.width.bytes(), field.width))
            .map(|number| number as f64);
        match field.fold {
            Fold::Mean(scale) => {
                let (sum, count) =
                    numbers.fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
                (count > 0.0).then(|| sum / count * scale)
            }
            Fold::Most(scale) => numbers.reduce(f64::max).map(|most| most * scale),
            Fold::Speed => numbers.reduce(f64::max).and_then(|tenths| generation(tenths / 10.0)),
            Fold::Energy => {
                numbers.reduce(f64::max).filter(|units| *units > 0.0).map(|units| units / 65_536.0)
            }
        }
    }

    /// A number; `None` when it is all ones, which is how the driver leaves what the product does not have.
    fn number(&self, at: usize, width: Width) -> Option<u64> {
        let bytes = self.bytes.get(at..at + width.bytes())?;
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        let there = bytes.iter().any(|byte| *byte != 0xff);
        // The drivers of these products run on little-endian machines only.
        there.then(|| u64::from_le_bytes(whole))
    }

    /// Bits of `SMU_THROTTLER_*` in `amdgpu_smu.h`.
    pub fn throttle(&self) -> Option<u64> {
        self.number(self.layout.throttle?, Width::U64)
    }

    /// Accumulated ticks, and those of them in which the clock was held down: by a hot processor, power, the socket's
    /// temperature, the regulators', the memory's.
    pub fn residency(&self) -> Option<[u32; 6]> {
        let at = self.layout.residency?;
        let mut ticks = [0; 6];
        for (n, tick) in ticks.iter_mut().enumerate() {
            *tick = u32::try_from(self.number(at + 4 * n, Width::U32)?).ok()?;
        }
        Some(ticks)
    }

    /// A link; `None` where the table has nothing to say of it, or it was never used.
    pub fn link(&self, n: usize) -> Option<Link> {
        let links = self.layout.links.filter(|_| n < LINKS_MAX)?;
        let kibibytes = |at: usize| self.number(at, Width::U64).map(|number| number as f64 * 1024.0);
        let moved = [kibibytes(links.moved + 8 * n), kibibytes(links.moved + 64 + 8 * n)];
        let state = links.state.and_then(|at| self.number(at + 2 * n, Width::U16));
        let up = match state {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        };
        let used = moved.iter().flatten().any(|bytes| *bytes > 0.0);
        let lanes = self.number(links.rate, Width::U16).filter(|lanes| *lanes > 0);
        let gigabits = self.number(links.rate + 2, Width::U16).filter(|speed| *speed > 0);
        let speed = lanes.zip(gigabits).map(|(lanes, speed)| lanes as f64 * speed as f64 * 1e9 / 8.0);
        (up == Some(true) || used).then_some(Link { up, speed, moved })
    }
}
