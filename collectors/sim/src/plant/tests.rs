//! What the plant must be like for a comparison of policies to mean something.
use super::*;
use job::Kind;

const HOUR: u64 = 3600 * STEPS_A_SECOND;

fn run(plant: &mut Plant, steps: u64, mut look: impl FnMut(&Plant)) {
    for _ in 0..steps {
        plant.step();
        look(plant);
    }
}

fn spell(mishap: Mishap, board: usize) -> Spell {
    Spell { mishap, board, from: HOUR, until: HOUR + 600, draw: 0 }
}

#[test]
fn the_same_seed_is_the_same_day() {
    let (mut one, mut two, mut other) =
        (Plant::new(1, HOUR, 500.0), Plant::new(1, HOUR, 500.0), Plant::new(2, HOUR, 500.0));
    for plant in [&mut one, &mut two, &mut other] {
        run(plant, HOUR, |_| {});
    }
    assert_eq!((one.boards, one.work), (two.boards, two.work));
    assert_ne!(one.boards, other.boards);
}

#[test]
fn a_limit_binds_training_and_not_decode_and_a_clock_binds_both() {
    let mut seen = [[0_u32; 2]; 2];
    for seed in 0..12 {
        let mut plant = Plant::with(seed, Vec::new());
        run(&mut plant, 2 * HOUR, |_| {});
        for job in plant.jobs.clone().into_iter().filter(|job| job.works(plant.step)) {
            let mean = |change: &dyn Fn(&mut Board)| {
                let mut plant = plant.clone();
                change(&mut plant.boards[job.first]);
                let mut joules = 0.0;
                run(&mut plant, 100, |plant| joules += plant.boards[job.first].power_w * STEP_S);
                joules / 10.0
            };
            let free = mean(&|_| {});
            let capped = mean(&|board| board.requested_w = 350.0);
            let slow = mean(&|board| board.locked_hz = 990e6);
            match job.kind {
                Kind::Training => {
                    assert!(capped <= 352.0 && capped < free, "{capped}");
                    seen[0] = [1, 1];
                }
                Kind::Decode => {
                    assert!((capped - free).abs() < 1e-9, "{capped} {free}");
                    seen[1] = [1, 1];
                }
                Kind::Idle | Kind::Prefill | Kind::Serving => {}
            }
            assert!(slow < free, "{slow} {free}");
        }
    }
    assert_eq!(seen, [[1; 2]; 2], "both kinds of work were seen");
}

#[test]
fn limits_slow_work_down_and_lose_some_of_it() {
    let day = |seed: u64, limit_w: f64| {
        let mut plant = Plant::with(seed, Vec::new());
        plant.boards.iter_mut().for_each(|board| board.requested_w = limit_w);
        run(&mut plant, 6 * HOUR, |_| {});
        let sum = |of: fn(&Work) -> f64| plant.work().iter().map(of).sum::<f64>();
        (sum(|work| work.run_s) / sum(|work| work.busy_s), sum(|work| work.done_s))
    };
    let mut lost = Vec::new();
    for seed in 0..5 {
        let ((free, all), (held, done)) = (day(seed, 700.0), day(seed, 300.0));
        assert!(free > 0.95 && held < 0.85, "{free} {held}");
        // Requests wait rather than get lost, so that less is lost than is late.
        lost.push(1.0 - done / all);
        assert!((0.0..1.0 - held).contains(&lost[lost.len() - 1]), "{lost:?} {held}");
    }
    assert!(lost.iter().any(|lost| *lost > 0.05), "{lost:?}");
}

#[test]
fn a_sensor_misses_what_happens_outside_its_window_and_errs_by_its_gain() {
    let mut plant = Plant::with(5, Vec::new());
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    run(&mut plant, 4 * HOUR, |plant| {
        for board in &plant.boards {
            let ratio = board.instant_w() / board.power_w;
            (least, most) = (least.min(ratio), most.max(ratio));
        }
    });
    assert!(least < 0.8 && most > 1.2, "{least} {most}");
    let energy_j = plant.boards.map(|board| board.energy_j);
    let mut shown_j = [0.0; BOARDS];
    run(&mut plant, HOUR, |plant| {
        shown_j.iter_mut().zip(&plant.boards).for_each(|(sum, board)| *sum += board.average_w() * STEP_S);
    });
    let gain = |board: usize| shown_j[board] / (plant.boards[board].energy_j - energy_j[board]);
    let gains: Vec<f64> = (0..BOARDS).map(gain).collect();
    assert!(gains.iter().all(|gain| (0.949..=1.051).contains(gain)), "{gains:?}");
    assert!(gains.iter().any(|gain| (gain - 1.0).abs() > 0.02), "{gains:?}");
}

#[test]
fn a_driver_that_is_loaded_anew_forgets_limits() {
    let mut plant = Plant::with(1, vec![spell(Mishap::Reload, 0)]);
    run(&mut plant, HOUR - 1, |_| {});
    assert_eq!(plant.set_limit(3, 300.0), Ok(300.0));
    run(&mut plant, 1, |_| {});
    assert_eq!(plant.enforced_w(3), Err(Absence::Late));
    run(&mut plant, 600, |_| {});
    assert_eq!(plant.enforced_w(3), Ok(700.0));
}

#[test]
fn a_second_writer_raises_a_limit_again_and_again() {
    let mut plant = Plant::with(1, vec![spell(Mishap::SecondWriter, 2)]);
    run(&mut plant, HOUR - 1, |_| {});
    let mut raised = 0;
    for _ in 0..700 {
        if plant.enforced_w(2) == Ok(700.0) {
            raised += 1;
        }
        plant.set_limit(2, 300.0).unwrap();
        plant.step();
    }
    assert!(raised > 5, "{raised}");
}

#[test]
fn a_board_that_does_not_hold_its_limit_draws_a_fifth_more_at_its_floor() {
    let mut most = 0.0_f64;
    for seed in 0..6 {
        let mut plant =
            Plant::with(seed, (0..BOARDS).map(|board| spell(Mishap::CapNotHeld, board)).collect());
        plant.boards.iter_mut().for_each(|board| board.requested_w = 200.0);
        run(&mut plant, HOUR + 500, |plant| {
            let above = plant.boards.iter().map(|board| board.power_w).fold(0.0, f64::max);
            assert!(plant.step < 100 || plant.step >= HOUR || above <= 200.5, "{above}");
            most = if plant.step >= HOUR { most.max(above) } else { most };
        });
    }
    assert!((235.0..=240.5).contains(&most), "{most}");
}

#[test]
fn limits_outside_the_range_and_without_permission_are_refused() {
    let mut plant = Plant::with(1, vec![spell(Mishap::PermissionLost, 0)]);
    assert_eq!(plant.set_limit(0, 100.0), Err(Absence::Implausible));
    run(&mut plant, HOUR + 1, |_| {});
    assert_eq!(plant.set_limit(0, 300.0), Err(Absence::Denied));
    assert!(plant.enforced_w(0).is_ok());
}

#[test]
fn a_clock_is_locked_within_its_bounds_and_free_at_its_highest() {
    let mut plant = Plant::with(1, vec![spell(Mishap::Reload, 0)]);
    assert_eq!(plant.clock_bound(0), Ok(1980e6));
    assert_eq!(plant.set_clock(0, 1e6), Err(Absence::Implausible));
    assert_eq!(plant.set_clock(0, 990e6), Ok(990e6));
    assert_eq!(plant.set_clock(1, 990e6), Ok(990e6));
    assert_eq!(plant.set_clock(1, 1980e6), Ok(1980e6));
    assert_eq!((plant.boards[0].locked_hz, plant.boards[1].locked_hz), (990e6, 0.0));
    run(&mut plant, HOUR + 700, |_| {});
    assert_eq!(plant.clock_bound(0), Ok(1980e6), "a driver that is loaded anew forgets it");
}

#[test]
fn a_node_is_now_and_then_above_four_fifths_of_its_limits_and_mostly_below() {
    // A node that never needs a policy, or always does, would tell nothing.
    let budget_w = 0.8 * (8.0 * 700.0 + 1200.0);
    let (mut over, mut steps, mut least_high) = (0_u64, 0_u64, usize::MAX);
    for seed in 0..10 {
        let mut plant = Plant::with(seed, Vec::new());
        let high: usize =
            plant.jobs.iter().filter(|job| job.priority == Priority::High).map(|job| job.boards).sum();
        least_high = least_high.min(high);
        assert!(high <= HIGH_MAX && plant.jobs.iter().any(|job| job.priority == Priority::Low));
        run(&mut plant, 24 * HOUR, |plant| over += u64::from(plant.power_w() > budget_w));
        steps += 24 * HOUR;
    }
    let share = over as f64 / steps as f64;
    assert!((0.005..0.4).contains(&share), "{share}");
}
