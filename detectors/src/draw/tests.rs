//! Which power stands for a beat.
use super::Draw;
use model::source::SourceMap;
use model::{Batch, DeviceInfo, DeviceKind, Frame, Metric, Timestamp};
use std::time::Duration;

/// The powers of beats, each of a length in seconds and with an energy counter in joules; the driver reads 500 W throughout.
fn powers(beats: &[(f64, Option<f64>)]) -> Vec<(Option<f64>, bool)> {
    let mut batch = Batch::default();
    let board = batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-0"));
    let (mut frame, mut map, mut draw) = (Frame::default(), SourceMap::default(), Draw::default());
    let mut now = Timestamp::default().after(Duration::from_secs(1));
    let mut all = Vec::new();
    for (beat_s, energy_j) in beats {
        now = now.after(Duration::from_secs_f64(*beat_s));
        frame.begin(now);
        batch.begin();
        batch.set(board, Metric::PowerAverage, 500.0);
        if let Some(energy_j) = energy_j {
            batch.set(board, Metric::Energy, *energy_j);
        }
        frame.merge(&batch, &mut map, false);
        let id = frame.devices.accelerators().next().map(|device| device.id);
        all.extend(id.map(|id| (draw.follow(&frame, id, Some(700.0)), draw.is_sampled())));
    }
    all
}

#[test]
fn a_short_beat_is_what_the_driver_reads_and_a_long_one_what_the_counter_counted() {
    let found = powers(&[(1.0, Some(0.0)), (1.0, Some(600.0)), (10.0, Some(6600.0))]);
    assert_eq!(found[1..], [(Some(500.0), false), (Some(600.0), false)]);
}

#[test]
fn a_long_beat_without_a_counter_is_a_sample_and_so_is_one_with_a_counter_that_stands_or_jumps() {
    let sample = (Some(500.0), true);
    assert_eq!(powers(&[(10.0, None), (10.0, None)])[1], sample);
    assert_eq!(powers(&[(10.0, Some(5.0)), (10.0, Some(5.0))])[1], sample);
    assert_eq!(powers(&[(10.0, Some(9e6)), (10.0, Some(5.0))])[1], sample);
    assert_eq!(powers(&[(10.0, Some(5.0)), (10.0, Some(9e6))])[1], sample);
}
