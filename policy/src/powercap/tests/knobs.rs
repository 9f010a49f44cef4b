//! Tests of locked clocks, of jobs, of learning and costs, and of what should not happen but does.
use super::plant::{CLOCKS, Plant};
use super::*;
use model::work::Work;

/// Two low-priority boards that generate tokens under a budget that two others fill.
fn decoding() -> Plant {
    let classes = [Priority::High, Priority::High, Priority::Low, Priority::Low];
    let mut plant = Plant::new(&[690.0, 690.0, 300.0, 300.0], &classes, 3650.0);
    for board in &mut plant.boards[2..] {
        (board.work, board.lockable) = (Some(Work::Decode), true);
    }
    plant
}

#[test]
fn token_generation_is_trimmed_by_its_clock_with_a_cap_behind() {
    let mut plant = decoding();
    let proposals = plant.beat();
    let of = |place: usize, knob| {
        let device = plant.boards[place].id;
        proposals.iter().any(|p| (p.device, p.action.knob()) == (device, knob))
    };
    for place in [2, 3] {
        assert!(of(place, Knob::ClockMax) && of(place, Knob::PowerLimit), "{proposals:?}");
    }
    assert!(!of(0, Knob::ClockMax), "prompts and training are held by caps: {proposals:?}");
    assert!(plant.boards[2].clock < CLOCKS.1 && plant.boards[2].power() < 300.0);
    assert!(plant.boards[2].power() <= plant.boards[2].limit, "the cap is behind the clock");
}

#[test]
fn a_board_without_a_clock_or_of_unknown_work_is_held_by_its_cap_alone() {
    for (work, lockable) in [(Some(Work::Decode), false), (None, true), (Some(Work::Training), true)] {
        let mut plant = decoding();
        plant.boards[2..].iter_mut().for_each(|board| (board.work, board.lockable) = (work, lockable));
        assert!(plant.beat().iter().all(|p| p.action.knob() == Knob::PowerLimit));
    }
}

#[test]
fn the_brake_locks_the_lowest_clocks_too_and_they_are_freed_again_one_class_a_hold() {
    let mut plant = Plant::new(&[690.0; 8], &MIXED, 6100.0);
    plant.boards.iter_mut().for_each(|board| board.lockable = true);
    plant.beat();
    assert!(plant.boards.iter().all(|board| board.clock == CLOCKS.0 && board.limit == 200.0));
    let mut last = None;
    for beat in 0..400 {
        let raised: Vec<_> = plant.beat().into_iter().filter(|p| p.why == Why::Headroom).collect();
        assert!(plant.total() <= 6100.0, "{} W", plant.total());
        let classes: Vec<_> = raised.iter().map(|p| MIXED[p.device.index()]).collect();
        assert!(classes.windows(2).all(|pair| pair[0] == pair[1]), "{classes:?}");
        if !raised.is_empty() {
            assert!(last.is_none_or(|last| beat > last + 1), "two beats in a row");
            last = Some(beat);
        }
    }
    assert!(plant.boards[..2].iter().all(|board| board.clock == CLOCKS.1), "{:?}", plant.boards);
}

#[test]
fn clocks_go_when_the_load_goes_and_when_the_budget_does() {
    let mut plant = decoding();
    plant.beats(5);
    plant.want(&[80.0, 80.0, 300.0, 300.0]);
    plant.policy.set_budget(Some(Watts(8000.0)));
    plant.beats(200);
    assert!(plant.caps.clocks.is_empty() && plant.caps.power.is_empty(), "{:?}", plant.caps);
    let mut plant = decoding();
    plant.beat();
    assert!(!plant.caps.clocks.is_empty());
    plant.policy.set_budget(None);
    plant.beat();
    assert!(plant.caps.clocks.is_empty() && plant.caps.power.is_empty());
}

#[test]
fn the_boards_of_a_training_job_have_one_limit_and_others_do_not_change_for_it() {
    let mut plant = Plant::new(&[690.0, 600.0, 640.0, 650.0], &[Priority::Normal; 4], 3600.0);
    for board in &mut plant.boards[..3] {
        (board.work, board.job) = (Some(Work::Training), Some("job 7"));
    }
    plant.beat();
    let limits = plant.limits();
    assert!((limits[0] - limits[1]).abs() < 0.1 && (limits[1] - limits[2]).abs() < 0.1, "{limits:?}");
    plant.want(&[300.0, 400.0, 350.0, 80.0]);
    for _ in 0..100 {
        plant.beat();
        let limits = plant.limits();
        assert!(limits[..3].iter().all(|limit| (limit - limits[0]).abs() < 6.0), "{limits:?}");
    }
}

#[test]
fn a_node_that_rises_fast_gets_lower_thresholds_and_says_so_once_it_has_learnt() {
    let mut plant = Plant::new(&[300.0; 8], &MIXED, 6000.0);
    plant.policy.set(Settings { rise_beats: 100.0, ..*plant.policy.settings() });
    plant.beats(60);
    assert_eq!((plant.state().rise, plant.state().high), (None, 0.89));
    for _ in 0..5 {
        plant.want(&[300.0; 8]);
        plant.beats(10);
        plant.want(&[355.0; 8]);
        plant.beats(10);
    }
    let state = plant.state();
    let (rise, high, low) = (state.rise.unwrap(), state.high, state.low);
    assert!((high - 1.0 / (1.0 + rise)).abs() < 1e-9 && high < 0.89 && low < 0.80, "{rise} {high} {low}");
    let bytes = plant.policy.learnt();
    let mut other = Plant::new(&[300.0; 8], &MIXED, 6000.0);
    other.policy.set(Settings { rise_beats: 100.0, ..*other.policy.settings() });
    other.policy.recall(&bytes).unwrap();
    other.beat();
    assert!((other.state().high - high).abs() < 0.02);
}

#[test]
fn what_a_cap_costs_is_told_while_it_bites_and_what_it_saved_afterwards() {
    let mut plant = decoding();
    plant.beat();
    assert!(plant.state().costs.is_empty());
    plant.beats(20);
    let of = |plant: &Plant, place: usize| {
        let device = plant.boards[place].id;
        plant.state().costs.iter().find(|cost| cost.device == device).copied().unwrap()
    };
    let decode = of(&plant, 2);
    assert!(decode.slowdown > 0.0 && decode.slowdown < 1.2 && decode.saved_j > 0.0, "{decode:?}");
    plant.want(&[80.0; 4]);
    plant.beats(200);
    let after = of(&plant, 2);
    assert!(after.slowdown == 0.0 && after.saved_j >= decode.saved_j, "{after:?}");
}

#[test]
fn a_range_that_changes_is_followed_up_and_down() {
    let mut plant = squeezed();
    for range in [(300.0, 700.0), (200.0, 600.0), (100.0, 400.0)] {
        for board in &mut plant.boards {
            board.range = Some(range);
            // What the driver does with a limit outside its new range.
            board.limit = board.limit.clamp(range.0, range.1);
        }
        plant.beats(10);
        assert!(
            plant.limits().iter().all(|limit| (range.0..=range.1).contains(limit)),
            "{:?}",
            plant.limits()
        );
        assert!(plant.total() <= 6900.0);
    }
}

#[test]
fn a_clock_that_goes_backwards_loosens_nothing_and_counts_no_time() {
    let mut plant = squeezed();
    let over = plant.state().over_budget_seconds;
    plant.want(&[80.0; 8]);
    let before = plant.limits();
    for _ in 0..20 {
        // Each beat adds a second, so this is one backwards.
        plant.now.mono_ns = plant.now.mono_ns.saturating_sub(2_000_000_000);
        plant.now.wall_ms -= 3_600_000;
        plant.beat();
    }
    assert!(plant.limits().iter().zip(&before).all(|(now, then)| now <= then), "{:?}", plant.limits());
    assert_eq!(plant.state().over_budget_seconds, over);
    plant.beats(300);
    assert_eq!(plant.limits(), [700.0; 8], "it goes on when time does");
}

#[test]
fn an_infeasible_budget_holds_the_lowest_state_for_as_long_as_it_lasts() {
    let mut plant = Plant::new(&[650.0; 8], &MIXED, 2000.0);
    plant.boards.iter_mut().for_each(|board| board.lockable = true);
    for _ in 0..100 {
        plant.beat();
        assert!(plant.troubled(PowerTrouble::Infeasible));
        assert_eq!(plant.limits(), [200.0; 8]);
        assert!(plant.boards.iter().all(|board| board.clock == CLOCKS.0));
    }
    plant.policy.set_budget(Some(Watts(12_000.0)));
    plant.beats(300);
    assert_eq!(plant.limits(), [700.0; 8]);
}
