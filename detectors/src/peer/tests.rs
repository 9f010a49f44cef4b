//! Tests of the comparison with siblings: what each fault looks like, and what must not look like one.
use super::open;
use crate::bench::{Bench, Say, nothing};
use model::{FaultKind, Mask, Stand};

const ILL: usize = 3;

fn ill(change: impl Fn(&mut Say)) -> impl Fn(usize, u64) -> Say {
    move |place, _| {
        let mut say = Say::SOUND;
        if place == ILL {
            change(&mut say);
        }
        say
    }
}

#[test]
fn a_board_that_gets_less_of_everything_done_is_a_straggler() {
    let mut bench = Bench::new(open, 8);
    assert_eq!(bench.beats(900, 1.0, |_, _| Say::SOUND, nothing), []);
    let found = bench.beats(200, 1.0, ill(|say| say.work = 0.65), nothing);
    assert_eq!(found, [(FaultKind::Straggler, ILL)]);
}

#[test]
fn a_board_a_fifth_behind_is_no_straggler() {
    let mut bench = Bench::new(open, 8);
    bench.beats(900, 1.0, |_, _| Say::SOUND, nothing);
    assert_eq!(bench.beats(300, 1.0, ill(|say| say.work = 0.8), nothing), []);
}

#[test]
fn a_clock_that_is_low_without_a_reason_is_told_and_one_with_a_reason_is_not() {
    let mut bench = Bench::new(open, 8);
    bench.beats(300, 1.0, |_, _| Say::SOUND, nothing);
    let found = bench.beats(100, 1.0, ill(|say| say.clock = 1.5e9), nothing);
    assert_eq!(found, [(FaultKind::ClockLow, ILL)]);
    let mut bench = Bench::new(open, 8);
    bench.beats(300, 1.0, |_, _| Say::SOUND, nothing);
    let found = bench.beats(100, 1.0, ill(|say| say.clock = 1.5e9), |batch, boards, _, _| {
        batch.flag(boards[ILL], model::Metric::EventSwPowerCap, true);
    });
    assert_eq!(found, []);
}

#[test]
fn a_board_hotter_at_equal_power_is_cooled_badly() {
    let mut bench = Bench::new(open, 8);
    assert_eq!(bench.beats(1800, 1.0, |_, _| Say::SOUND, nothing), []);
    let found = bench.beats(300, 1.0, ill(|say| say.heat = 0.055 * 1.35), nothing);
    assert_eq!(found, [(FaultKind::CoolingPoor, ILL)]);
}

#[test]
fn heat_that_all_share_is_the_rooms() {
    let mut bench = Bench::new(open, 8);
    bench.beats(1800, 1.0, |_, _| Say::SOUND, nothing);
    assert_eq!(bench.beats(300, 1.0, |_, _| Say { heat: 0.075, ..Say::SOUND }, nothing), []);
}

#[test]
fn a_cap_of_ours_is_masked_and_capped_boards_are_not_compared_with_free_ones() {
    let mut bench = Bench::new(open, 8);
    bench.beats(900, 1.0, |_, _| Say::SOUND, nothing);
    let capped = ill(|say| (say.limit, say.work, say.clock) = (400.0, 0.6, 1.4e9));
    assert_eq!(bench.beats(1, 1.0, &capped, nothing), []);
    assert!(matches!(bench.stand(ILL), Some(Stand::Masked { mask: Mask::PowerCap, .. })));
    assert_eq!(bench.beats(400, 1.0, &capped, nothing), []);
}

#[test]
fn too_few_siblings_are_not_compared_and_that_is_said() {
    let mut bench = Bench::new(open, 3);
    bench.beats(600, 1.0, |_, _| Say::SOUND, nothing);
    let lone = |place: usize, _: u64| Say { work: if place == 1 { 0.5 } else { 1.0 }, ..Say::SOUND };
    assert_eq!(bench.beats(300, 1.0, lone, nothing), []);
    assert!(matches!(bench.stand(1), Some(Stand::Masked { mask: Mask::Alone, .. })));
}

#[test]
fn ten_times_longer_beats_and_absent_hours_raise_nothing() {
    let mut bench = Bench::new(open, 8);
    bench.beats(600, 1.0, |_, _| Say::SOUND, nothing);
    assert_eq!(bench.beats(200, 10.0, |_, _| Say::SOUND, nothing), []);
    assert_eq!(bench.beats(1, 7200.0, |_, _| Say::SOUND, nothing), []);
    assert_eq!(bench.beats(300, 1.0, |_, _| Say::SOUND, nothing), []);
}

#[test]
fn what_is_usual_is_kept_and_junk_is_refused() {
    let mut bench = Bench::new(open, 8);
    bench.beats(1800, 1.0, ill(|say| say.heat = 0.06), nothing);
    let kept = bench.detector.learnt(&bench.frame).unwrap();
    let mut again = Bench::new(open, 8);
    again.detector.recall(&kept).unwrap();
    again.beats(300, 1.0, ill(|say| say.heat = 0.06), nothing);
    assert_eq!(again.detector.learnt(&again.frame).map(|bytes| bytes.len()), Some(kept.len()));
    for junk in [&b"wkpeer00"[..], &kept[..kept.len() - 3], &b"wkpeer01\xffabc"[..], &[]] {
        assert!(again.detector.recall(junk).is_err());
    }
}
