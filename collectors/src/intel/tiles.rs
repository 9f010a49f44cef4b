//! The engines of an Intel GPU by graphics tile (GT): clock, idle time, and what holds the clock down.
use crate::sysfs::growth::Growth;
use crate::sysfs::{Attr, Form, Gauge, absence, gauges, names, numbered, word};
use model::{Absence, Batch, Calls, Metric, Reading, Slot, Timestamp};
use std::path::{Path, PathBuf};

/// Reasons for a lower clock: file of xe, file of i915, flag. PL1 and PL2 are sustained and burst power limits, PL4 and TDC
/// limits of current, RATL an average of temperature.
const REASONS: [(&str, &str, Metric); 8] = [
    ("reason_pl1", "throttle_reason_pl1", Metric::EventSwPowerCap),
    ("reason_pl2", "throttle_reason_pl2", Metric::EventSwPowerCap),
    ("reason_pl4", "throttle_reason_pl4", Metric::EventHwSlowdown),
    ("reason_vr_tdc", "throttle_reason_vr_tdc", Metric::EventHwSlowdown),
    ("reason_prochot", "throttle_reason_prochot", Metric::EventHwSlowdown),
    ("reason_thermal", "throttle_reason_thermal", Metric::EventSwThermal),
    ("reason_ratl", "throttle_reason_ratl", Metric::EventSwThermal),
    ("reason_vr_thermalert", "throttle_reason_vr_thermalert", Metric::EventHwThermal),
];
/// The flags that those set.
const FLAGS: [Metric; 4] =
    [Metric::EventSwPowerCap, Metric::EventHwSlowdown, Metric::EventSwThermal, Metric::EventHwThermal];

/// One tile.
struct Tile {
    clock: Option<Gauge>,
    /// Milliseconds in which nothing ran.
    idle: Option<(Attr, Growth)>,
    /// Whether any reason is in force, and each of them.
    status: Option<Attr>,
    reasons: Vec<(Attr, Metric)>,
    /// Whether it decodes video and computes nothing.
    media: bool,
}

/// The tiles of one card.
#[derive(Default)]
pub(super) struct Tiles {
    tiles: Vec<Tile>,
}

/// Where the files of a tile are, in xe and in i915.
struct Place {
    clocks: PathBuf,
    idle: PathBuf,
    reasons: PathBuf,
    names: Names,
}

struct Names {
    clock: &'static str,
    clock_max: &'static str,
    idle: &'static str,
    status: &'static str,
    xe: bool,
}

const XE: Names =
    Names { clock: "act_freq", clock_max: "rp0_freq", idle: "idle_residency_ms", status: "status", xe: true };
const I915: Names = Names {
    clock: "rps_act_freq_mhz",
    clock_max: "rps_RP0_freq_mhz",
    idle: "rc6_residency_ms",
    status: "throttle_reason_status",
    xe: false,
};

fn places(device: &Path) -> Vec<Place> {
    let below = |folder: &Path, prefix: &'static str| {
        let inside = folder.to_owned();
        names(folder, |name| numbered(name, prefix).is_some()).into_iter().map(move |name| inside.join(name))
    };
    let xe = below(device, "tile").flat_map(|tile| below(&tile, "gt").collect::<Vec<_>>()).map(|gt| Place {
        clocks: gt.join("freq0"),
        idle: gt.join("gtidle"),
        reasons: gt.join("freq0/throttle"),
        names: XE,
    });
    let i915 = below(&device.join("drm"), "card")
        .flat_map(|card| below(&card.join("gt"), "gt").collect::<Vec<_>>())
        .map(|gt| Place { clocks: gt.clone(), idle: gt.clone(), reasons: gt, names: I915 });
    xe.chain(i915).collect()
}

impl Tiles {
    /// Looks which tiles a card has, and which of their files say something.
    pub(super) fn found(device: &Path, calls: &Calls, seldom: &mut Vec<Gauge>) -> Self {
        let tile = |place: Place| {
            let names = &place.names;
            let mega = Form::Number(1e6);
            gauges(&[(names.clock_max, Metric::ClockSmMax, mega)], &place.clocks, calls, seldom);
            let attr = |folder: &Path, name| {
                Some(folder.join(name)).filter(|path| path.exists()).map(|path| Attr::new(name, path))
            };
            let reason =
                |(xe, i915, metric)| Some((attr(&place.reasons, if names.xe { xe } else { i915 })?, metric));
            Tile {
                clock: Gauge::found(&(names.clock, Metric::ClockSm, mega), &place.clocks, calls),
                idle: attr(&place.idle, names.idle).map(|attr| (attr, Growth::default())),
                status: attr(&place.reasons, names.status),
                reasons: REASONS.into_iter().filter_map(reason).collect(),
                // xe calls them `gt0-rc` and `gt1-mc`: render and media.
                media: word(place.idle.join("name")).ends_with("-mc"),
            }
        };
        Self { tiles: places(device).into_iter().map(tile).collect() }
    }

    /// Puts the clock, the busy share and the reasons for a lower clock into the batch.
    pub(super) fn read(&mut self, now: Timestamp, calls: &Calls, slot: Slot, batch: &mut Batch) {
        for (media, busy, clock) in [
            (false, Metric::Utilization, Metric::ClockSm),
            (true, Metric::DecoderUtilization, Metric::ClockVideo),
        ] {
            let (mut clocks, mut shares) = (Mean::default(), Mean::default());
            for tile in self.tiles.iter_mut().filter(|tile| tile.media == media) {
                if let Some(gauge) = &mut tile.clock {
                    clocks.add(gauge.take(calls));
                }
                if let Some((attr, growth)) = &mut tile.idle {
                    shares.add(busy_share(attr, growth, now, calls));
                }
            }
            clocks.tell(clock, slot, batch);
            shares.tell(busy, slot, batch);
        }
        self.reasons(calls, slot, batch);
    }

    fn reasons(&mut self, calls: &Calls, slot: Slot, batch: &mut Batch) {
        let mut flags: [Option<bool>; FLAGS.len()] = [None; FLAGS.len()];
        for tile in &mut self.tiles {
            let Some(status) = &mut tile.status else { continue };
            let Ok(status) = status.number(calls) else { continue };
            for (attr, metric) in &mut tile.reasons {
                let Some(place) = FLAGS.iter().position(|flag| flag == metric) else { continue };
                // Each reason costs a read of a register; without any there is nothing to tell them apart.
                let holds = status != 0.0 && attr.number(calls).is_ok_and(|number| number != 0.0);
                flags[place] = Some(flags[place].unwrap_or(false) || holds);
            }
        }
        for (metric, flag) in FLAGS.into_iter().zip(flags) {
            if let Some(flag) = flag {
                batch.flag(slot, metric, flag);
            }
        }
    }
}

/// The share of time since the last beat in which the tile was not idle. It is idle only when every engine is, so this is the
/// most that any of them was busy.
fn busy_share(attr: &mut Attr, growth: &mut Growth, now: Timestamp, calls: &Calls) -> Reading {
    match attr.number(calls) {
        Ok(idle_ms) => match growth.rate(now, idle_ms) {
            // The counter is renewed by the driver, so that it may run a little ahead of our time.
            Some(rate) => Metric::Utilization.reading((1.0 - rate / 1000.0).clamp(0.0, 1.0)),
            None => Reading::Absent(Absence::Late),
        },
        Err(error) => Reading::Absent(absence(&error)),
    }
}

/// The mean of readings of tiles; the reason of one that is absent where none has a value.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
    absent: Option<Absence>,
}

impl Mean {
    fn add(&mut self, reading: Reading) {
        match reading {
            Reading::Value(value) => (self.sum, self.count) = (self.sum + value, self.count + 1.0),
            Reading::Absent(reason) => self.absent = Some(reason),
        }
    }

    fn tell(self, metric: Metric, slot: Slot, batch: &mut Batch) {
        if self.count > 0.0 {
            batch.set(slot, metric, self.sum / self.count);
        } else if let Some(reason) = self.absent {
            batch.absent(slot, metric, reason);
        }
    }
}
