//! What tenants of a board do to each other, against what the physics says they must.
use super::*;
use crate::board::Board;
use crate::profile::H100;
use model::Watts;

/// How fast tenants are over their speed alone, after they have settled, and the board.
fn speeds(mps: bool, tenants: &[(Tenant, f64)], limit: Option<f64>) -> (Vec<f64>, Board) {
    let mut board = Board::new(&H100, 0, 1);
    board.seats.set_mps(mps);
    tenants.iter().enumerate().for_each(|(place, (tenant, duty))| board.seats.seat(place, *tenant, *duty));
    limit.into_iter().for_each(|limit| assert!(board.set_power_limit(Watts(limit))));
    (0..300).for_each(|quantum| board.step(1, quantum));
    let before = board.seats;
    (300..800).for_each(|quantum| board.step(1, quantum));
    let speed = |place: usize| {
        let (from, to) = (before.seats[place], board.seats.seats[place]);
        (to.done_s - from.done_s) / (to.busy_s - from.busy_s)
    };
    ((0..tenants.len()).map(speed).collect(), board)
}

#[test]
fn two_who_always_have_kernels_take_turns_and_the_engine_is_never_idle() {
    let (speeds, board) = speeds(false, &[(Tenant::Compute, 1.0), (Tenant::PressMemory, 1.0)], None);
    assert!((0.44..0.54).contains(&speeds[0]), "{speeds:?}");
    assert!(board.busy > 0.93, "{}", board.busy);
    let shares: f64 = board.seats.seats.iter().map(|seat| seat.engine).sum();
    assert!(shares <= 1.02, "turns do not overlap: {shares}");
}

#[test]
fn with_mps_work_that_meets_nowhere_hardly_suffers_and_work_that_meets_at_memory_does() {
    let (apart, _) = speeds(true, &[(Tenant::Launch, 1.0), (Tenant::PressMemory, 0.3)], None);
    let (meet, board) = speeds(true, &[(Tenant::Stream, 1.0), (Tenant::PressMemory, 1.0)], None);
    assert!(apart[0] > 0.9, "{apart:?}");
    assert!((0.4..0.6).contains(&meet[0]), "{meet:?}");
    assert!(board.memory_activity > 0.85 && board.memory_activity <= MEMORY_MAX);
}

#[test]
fn copies_share_the_link_without_taking_turns_at_the_engine() {
    let (speeds, board) = speeds(false, &[(Tenant::Copy, 1.0), (Tenant::PressCopy, 1.0)], None);
    assert!((0.45..0.65).contains(&speeds[0]), "{speeds:?}");
    assert!(board.moved[0] > 0.9 * LINK_SHARE * board.pcie_bytes(), "{:?}", board.moved);
}

#[test]
fn small_kernels_lose_more_than_a_fair_turn_to_work_that_never_pauses() {
    let (speeds, _) = speeds(false, &[(Tenant::Launch, 1.0), (Tenant::PressCompute, 1.0)], None);
    // A fair turn would leave 1 / (0.5 + 2 x 0.5).
    assert!(speeds[0] < 0.62, "{speeds:?}");
}

#[test]
fn a_limit_slows_what_the_clock_binds_and_not_what_memory_binds() {
    let (compute, _) = speeds(false, &[(Tenant::Compute, 1.0)], Some(350.0));
    let (stream, _) = speeds(false, &[(Tenant::Stream, 1.0)], Some(350.0));
    assert!(compute[0] < 0.75 && stream[0] > 0.95, "{compute:?} {stream:?}");
}

#[test]
fn at_half_its_rate_an_undisturbed_tenant_is_as_fast_as_ever() {
    let (speeds, board) = speeds(false, &[(Tenant::Decode, 0.5)], None);
    assert!(speeds[0] > 0.95 && (0.4..0.55).contains(&board.busy), "{speeds:?} {}", board.busy);
}

#[test]
fn a_turn_is_fair_among_those_who_have_kernels() {
    assert!((turn([].into_iter()) - 1.0).abs() < 1e-12);
    assert!((turn([1.0].into_iter()) - 0.5).abs() < 1e-12);
    assert!((turn([1.0, 1.0].into_iter()) - 1.0 / 3.0).abs() < 1e-12);
    assert!((turn([0.5].into_iter()) - 0.75).abs() < 1e-12);
}
