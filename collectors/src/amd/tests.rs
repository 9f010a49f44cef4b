//! Tests of the tables and texts of AMD cards: every version, and whatever else a file may hold.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
use super::layouts::LAYOUTS;
use super::ras::{errors, pages};
use super::table::{Fault, Table};
use fake_sysfs::{Metrics, Version, table};
use model::{Metric, Reading};
use proptest::prelude::*;
use std::collections::BTreeMap;

const METRICS: Metrics = Metrics {
    heat_c: [61, 72, 80],
    busy: [97, 43],
    power_w: 512,
    energy_j: 123.5,
    clock_mhz: [1900, 1300],
    pcie: [16, 320],
    replays: 7,
    throttle: 1 | 1 << 36,
    residency: [1000, 1, 2, 3, 4, 5],
    links: (7, 2048),
};

const VERSIONS: [Version; 7] =
    [Version::V1_0, Version::V1_3, Version::V1_4, Version::V1_5, Version::V1_7, Version::V2_4, Version::V3_0];

fn values(bytes: &[u8]) -> BTreeMap<Metric, f64> {
    Table::of(bytes).unwrap().metrics().collect()
}

fn near(values: &BTreeMap<Metric, f64>, metric: Metric, expected: f64) {
    let value = values.get(&metric).copied();
    assert!(value.is_some_and(|value| (value - expected).abs() < 1e-3 * expected), "{metric}: {value:?}");
}

#[test]
fn each_layout_lies_inside_its_size_and_no_two_have_one_version_and_size() {
    for layout in LAYOUTS {
        let size = layout.sizes.iter().copied().min().unwrap();
        let mut seen = Vec::new();
        for field in layout.fields.iter().flat_map(|fields| fields.iter()) {
            let end = field.at + field.count * field.width.bytes();
            assert!(end <= size && field.at >= 4, "{:?} {}", layout.version, field.metric);
            assert!(field.at.is_multiple_of(field.width.bytes()), "{:?} {}", layout.version, field.metric);
            assert!(!seen.contains(&field.metric), "{:?} has {} twice", layout.version, field.metric);
            seen.push(field.metric);
        }
        let same = |other: &&super::layouts::Layout| {
            other.version == layout.version && other.sizes.iter().any(|size| layout.sizes.contains(size))
        };
        assert_eq!(LAYOUTS.iter().filter(same).count(), 1, "{:?}", layout.version);
    }
    assert_eq!(LAYOUTS.iter().map(|layout| layout.version).filter(|version| version.0 == 1).count(), 10);
}

#[test]
fn a_table_of_a_classic_card_says_what_the_driver_put_in() {
    let classic = values(&table(Version::V1_3, &METRICS));
    near(&classic, Metric::Temperature, 61.0);
    near(&classic, Metric::TemperatureHotspot, 72.0);
    near(&classic, Metric::TemperatureMemory, 80.0);
    near(&classic, Metric::Utilization, 0.97);
    near(&classic, Metric::MemoryActivity, 0.43);
    near(&classic, Metric::PowerAverage, 512.0);
    near(&classic, Metric::Energy, 123.5);
    near(&classic, Metric::ClockSm, 1.9e9);
    near(&classic, Metric::ClockMemory, 1.3e9);
    near(&classic, Metric::PcieWidth, 16.0);
    near(&classic, Metric::PcieGeneration, 5.0);
    for lacking in [Metric::TemperatureRegulator, Metric::ClockVideo, Metric::FanRpm, Metric::Voltage] {
        assert!(!classic.contains_key(&lacking), "{lacking} is all ones, which is not there");
    }
    let oldest = values(&table(Version::V1_0, &METRICS));
    near(&oldest, Metric::TemperatureHotspot, 72.0);
    near(&oldest, Metric::PowerAverage, 512.0);
    near(&oldest, Metric::Energy, 123.5);
    near(&oldest, Metric::ClockSm, 1.9e9);
    near(&oldest, Metric::PcieWidth, 16.0);
}

#[test]
fn tables_of_mi300_differ_in_their_places_and_not_in_what_they_say() {
    for version in [Version::V1_4, Version::V1_5, Version::V1_7] {
        let bytes = table(version, &METRICS);
        let instinct = values(&bytes);
        near(&instinct, Metric::TemperatureHotspot, 72.0);
        near(&instinct, Metric::PowerInstant, 512.0);
        near(&instinct, Metric::Utilization, 0.97);
        near(&instinct, Metric::Energy, 123.5);
        near(&instinct, Metric::ClockSm, 1.9e9);
        near(&instinct, Metric::ClockMemory, 1.3e9);
        near(&instinct, Metric::PcieGeneration, 5.0);
        near(&instinct, Metric::PcieReplays, 7.0);
        let read = Table::of(&bytes).unwrap();
        let link = read.link(6).unwrap();
        assert_eq!(link.moved, [Some(2048.0 * 1024.0), Some(2.0 * 2048.0 * 1024.0)]);
        assert_eq!(link.speed, Some(64e9), "16 lanes of 32 Gbit/s");
        assert_eq!(read.link(7), None, "a link that was never used");
        let newest = version == Version::V1_7;
        assert_eq!(link.up, newest.then_some(true));
        assert_eq!(read.residency(), newest.then_some(METRICS.residency));
    }
}

#[test]
fn tables_of_processors_are_read_in_the_units_that_they_state() {
    let older = values(&table(Version::V2_4, &Metrics { power_w: 45, ..METRICS }));
    near(&older, Metric::Temperature, 61.0);
    near(&older, Metric::Utilization, 0.97);
    near(&older, Metric::PowerAverage, 45.0);
    near(&older, Metric::ClockSm, 1.9e9);
    near(&older, Metric::Voltage, 0.9);
    let newer = values(&table(Version::V3_0, &METRICS));
    near(&newer, Metric::PowerAverage, 512.0);
    near(&newer, Metric::ClockSm, 1.9e9);
    near(&newer, Metric::ClockMemory, 1.3e9);
}

#[test]
fn a_table_that_is_cut_or_of_another_version_or_size_is_not_read() {
    for version in VERSIONS {
        let whole = table(version, &METRICS);
        for length in 0..whole.len() {
            assert_eq!(Table::of(&whole[..length]).err(), Some(Fault::Short), "{version:?} at {length}");
        }
        let mut other = whole.clone();
        (other[2], other[3]) = (1, 9);
        assert_eq!(Table::of(&other).err(), Some(Fault::Unknown), "v1_9 is a list of attributes");
        let mut other = whole.clone();
        other[0] = other[0].wrapping_add(8);
        assert_eq!(Table::of(&other).err(), Some(Fault::Size));
        let mut longer = whole.clone();
        longer.resize(1 << 20, 0xaa);
        assert_eq!(values(&longer), values(&whole), "what follows the table is not looked at");
    }
}

#[test]
fn a_table_that_says_nothing_gives_no_values() {
    for layout in LAYOUTS {
        for &size in layout.sizes {
            let mut bytes = vec![0xff; size];
            bytes[..2].copy_from_slice(&(size as u16).to_le_bytes());
            (bytes[2], bytes[3]) = layout.version;
            let read = Table::of(&bytes).unwrap();
            assert_eq!(read.metrics().count(), 0, "{:?}", layout.version);
            assert_eq!((read.throttle(), read.residency(), read.link(0)), (None, None, None));
        }
    }
}

#[test]
fn errors_and_pages_are_counted_by_their_lines() {
    let counted = errors("ue: 3\nce: 14\nde: 9\n").unwrap();
    assert_eq!((counted.corrected, counted.uncorrected), (14.0, 3.0));
    assert_eq!(errors("ue: 3\n"), None, "a count that is missing is not 0");
    assert_eq!(errors("ue: -1\nce: 0\n"), None);
    assert_eq!(pages("0x00001000 : 0x00001000 : R\n0x00002000 : 0x00001000 : P\n"), Some((1.0, 1.0)));
    assert_eq!(pages(""), Some((0.0, 0.0)));
    assert_eq!(pages("no pages here"), None);
}

proptest! {
    #[test]
    fn whatever_a_table_holds_each_value_is_plausible_or_none(
        which in 0..LAYOUTS.len(), size in 0_usize..8, noise in proptest::collection::vec(any::<u8>(), 0..5000)
    ) {
        let layout = &LAYOUTS[which];
        let size = layout.sizes[size % layout.sizes.len()];
        let mut bytes = noise;
        if bytes.len() >= 4 {
            bytes[..2].copy_from_slice(&(size as u16).to_le_bytes());
            (bytes[2], bytes[3]) = layout.version;
        }
        let Ok(read) = Table::of(&bytes) else { return Ok(()) };
        prop_assert!(bytes.len() >= size);
        for (metric, value) in read.metrics() {
            if let Reading::Value(value) = metric.reading(value) {
                let row = metric.row();
                prop_assert!(value >= row.low && value <= row.high);
            }
        }
        let _ = (read.throttle(), read.residency());
        for n in 0..20 {
            let _ = read.link(n);
        }
    }

    #[test]
    fn random_bytes_are_no_table_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(read) = Table::of(&bytes) {
            let _ = read.metrics().count();
        }
    }

    #[test]
    fn random_lists_of_errors_and_pages_count_nothing_that_is_not_there(text in "(ue|ce|0x1|:| |\n|[0-9]|R|P|[a-z]){0,60}") {
        if let Some(counted) = errors(&text) {
            prop_assert!(counted.corrected >= 0.0 && counted.uncorrected >= 0.0);
        }
        if let Some((retired, pending)) = pages(&text) {
            prop_assert!(retired + pending <= text.lines().count() as f64);
        }
    }
}
