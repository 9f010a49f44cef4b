//! Every baseline on a small machine on which it is plain what is wrong.
use crate::evaluate::machine::{Dataset, Machine, Segment};
use crate::evaluate::trial::judge;
use ndarray::Array2;

/// Four days of minutes, half to learn from; three channels move together, and break apart for half an hour.
fn machine() -> Machine {
    let value = |row: usize, channel: usize| {
        let noise = |stream: u64| sim::noise::signed(11, stream, row as u64);
        (0.5 + 0.2 * noise(9) + 0.02 * noise(channel as u64)) as f32
    };
    let train = Array2::from_shape_fn((2880, 3), |(row, channel)| value(row, channel));
    let mut test = Array2::from_shape_fn((2880, 3), |(row, channel)| value(row + 2880, channel));
    (1500..1530).for_each(|row| test[(row, 1)] = (row % 2) as f32 * 2.0 - 0.5);
    let label = (0..2880).map(|row| (1500..1530).contains(&row)).collect();
    let segments = vec![Segment { rows: 1500..1530, channels: Some(vec![1]) }];
    Machine { dataset: Dataset::Smd, name: "m".into(), train, test, label, segments, step_s: 60.0 }
}

#[test]
fn every_baseline_finds_what_is_plain_and_the_random_score_does_not() {
    let machine = machine();
    for scorer in super::all() {
        let figures = judge(&machine, scorer.as_ref(), None).unwrap();
        let (vus, at) = (figures.vus_pr.unwrap(), &figures.deployable[1]);
        if scorer.name() == "random" {
            assert!(vus < 0.1, "random {vus}");
            assert_eq!(at.recall, Some(0.0));
        } else if scorer.name() == "isolation_forest" {
            // It looks at single rows, and isolates each by few cuts: it ranks, and does not alarm on this.
            assert!(vus > 0.15, "isolation_forest {vus}");
        } else {
            assert!(vus > 0.5, "{} {vus}", scorer.name());
            // Netdata's consensus looks at differences: half an hour up is one step to it.
            let alarms = at.recall == Some(1.0);
            assert!(alarms || scorer.name() == "netdata_rate", "{}", scorer.name());
        }
        if let Some(blame) = figures.attribution.filter(|blame| blame.hit_segments > 0) {
            assert_eq!(blame.first, Some(1.0), "{}", scorer.name());
        }
    }
}

#[test]
fn what_comes_later_changes_no_score_before_it() {
    let whole = machine();
    let mut cut = whole.clone();
    cut.test.slice_mut(ndarray::s![2000.., ..]).fill(9.0);
    for scorer in super::all() {
        let (a, b) = (scorer.run(&whole).unwrap(), scorer.run(&cut).unwrap());
        assert_eq!(a.score[..2000], b.score[..2000], "{}", scorer.name());
    }
}
