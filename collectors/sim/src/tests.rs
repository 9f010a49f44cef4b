//! The engine as a whole, on drawn schedules: what holds for every seed, load, limit and cutting of time.
use crate::board::reason;
use crate::node::QUANTUM_NS;
use crate::profile::{A100, H100};
use crate::{Board, Fault, Node, Profile, Workload};
use model::Watts;
use proptest::prelude::*;

/// Something done to a node.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Load(usize, Workload),
    Limit(usize, f64),
    Lock(usize, f64),
    Fault(usize, Fault, bool),
}

impl Deed {
    fn act(self, node: &mut Node) {
        match self {
            Self::Load(board, workload) => node.boards[board].set_workload(workload),
            // A limit out of range is refused, which is part of what is drawn.
            Self::Limit(board, watts) => _ = node.boards[board].set_power_limit(Watts(watts)),
            Self::Lock(board, hertz) => node.boards[board].locked_hz = hertz,
            Self::Fault(board, fault, true) => node.boards[board].inject(fault),
            Self::Fault(board, fault, false) => node.boards[board].heal(fault),
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let board = 0..8_usize;
    prop_oneof![
        (board.clone(), prop::sample::select(&Workload::ALL[..])).prop_map(|(b, w)| Deed::Load(b, w)),
        (board.clone(), 50.0..900.0).prop_map(|(b, watts)| Deed::Limit(b, watts)),
        (board.clone(), 0.0..3e9).prop_map(|(b, hertz)| Deed::Lock(b, hertz)),
        (board, prop::sample::select(&Fault::ALL[..]), any::<bool>())
            .prop_map(|(b, f, on)| Deed::Fault(b, f, on)),
    ]
}

/// Deeds, each so many quanta after the one before.
fn schedule() -> impl Strategy<Value = Vec<(u64, Deed)>> {
    prop::collection::vec((1..200_u64, deed()), 1..12)
}

fn profile() -> impl Strategy<Value = &'static Profile> {
    prop::sample::select(vec![&H100, &A100])
}

/// Plays a schedule, reaching each moment in steps of so many nanoseconds.
fn play(mut node: Node, schedule: &[(u64, Deed)], step_ns: u64) -> Node {
    let mut at_ns = 0;
    for (quanta, deed) in schedule {
        let until_ns = at_ns + quanta * QUANTUM_NS;
        while at_ns < until_ns {
            at_ns = (at_ns + step_ns).min(until_ns);
            node.step_to(at_ns);
        }
        deed.act(&mut node);
    }
    node
}

/// A board under one load, limit and set of faults for so many seconds.
fn settled(profile: &Profile, workload: Workload, seconds: u64, prepare: impl FnOnce(&mut Board)) -> Board {
    let mut node = Node::new(profile, 1, 5, 0);
    node.set_workload(0, workload);
    prepare(&mut node.boards[0]);
    (1..=seconds).for_each(|second| node.step_to(second * 1_000_000_000));
    node.boards[0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_and_schedule_give_the_same_state_however_time_is_cut(
        seed: u64, profile in profile(), schedule in schedule(), step_ns in 1_000_000..3_000_000_000_u64,
    ) {
        let node = Node::new(profile, 8, seed, 0);
        prop_assert_eq!(play(node, &schedule, u64::MAX / 4), play(node, &schedule, step_ns));
    }

    #[test]
    fn state_is_finite_and_within_what_a_board_can_be(seed: u64, profile in profile(), schedule in schedule()) {
        let node = play(Node::new(profile, 8, seed, 0), &schedule, 1_000_000_000);
        for board in node.boards() {
            let (low, high) = (0.99 * profile.idle_w - 1e-6, 1.03 * profile.full_w + 1e-6);
            prop_assert!((low..=high).contains(&board.power_w), "{} W", board.power_w);
            prop_assert!((profile.clock_min_hz - 1.0..=profile.clock_max_hz + 1.0).contains(&board.clock_hz));
            prop_assert!((20.0..140.0).contains(&board.temperature_c), "{} C", board.temperature_c);
            prop_assert!(board.energy_j.is_finite() && board.energy_j > 0.0);
            let gain = board.sensor.instant_w() / high;
            prop_assert!((0.0..=1.06).contains(&gain));
        }
    }

    #[test]
    fn a_limit_is_taken_inside_the_range_only(profile in profile(), watts in prop::num::f64::ANY) {
        let mut board = Board::new(profile, 0, 1);
        let inside = (profile.limit_min.0..=profile.limit_max.0).contains(&watts);
        prop_assert_eq!(board.set_power_limit(Watts(watts)), inside);
        prop_assert_eq!(board.enforced(), if inside { Watts(watts) } else { profile.limit_max });
    }

    #[test]
    fn a_settled_limit_is_held_down_to_what_the_lowest_clock_draws(
        profile in profile(), share in 0.0..1.0, workload in prop::sample::select(&Workload::ALL[..]),
    ) {
        let limit = profile.limit_min + (profile.limit_max - profile.limit_min) * share;
        let board = settled(profile, workload, 2, |board| assert!(board.set_power_limit(limit)));
        let lowest = (profile.clock_min_hz / profile.clock_max_hz).powf(1.2);
        let floor_w = profile.idle_w + (profile.full_w - profile.idle_w) * lowest;
        prop_assert!(board.power_w <= limit.0.max(floor_w) + 0.5, "{} W under {limit}", board.power_w);
    }

    #[test]
    fn energy_is_the_integral_of_true_power_whatever_happens(seed: u64, schedule in schedule()) {
        let (mut node, mut sum_j, mut now) = (Node::new(&H100, 8, seed, 0), 0.0, 0);
        for (quanta, deed) in &schedule {
            for _ in 0..*quanta {
                now += QUANTUM_NS;
                node.step_to(now);
                sum_j += node.boards().iter().map(|board| board.power_w).sum::<f64>() * 0.01;
            }
            deed.act(&mut node);
        }
        let counted_j: f64 = node.boards().iter().map(|board| board.energy_j).sum();
        prop_assert!((counted_j / sum_j - 1.0).abs() < 1e-9);
    }
}

#[test]
fn one_boards_deeds_do_not_disturb_another() {
    let quiet = play(
        Node::new(&H100, 8, 3, 0),
        &[(50, Deed::Load(1, Workload::Serving)), (500, Deed::Lock(0, 0.0))],
        1 << 40,
    );
    let deeds = [
        (50, Deed::Load(1, Workload::Serving)),
        (200, Deed::Load(2, Workload::Prefill)),
        (300, Deed::Lock(0, 0.0)),
    ];
    let loud = play(Node::new(&H100, 8, 3, 0), &deeds, 1 << 40);
    assert_eq!(quiet.boards[1], loud.boards[1]);
    assert_ne!(quiet.boards[2], loud.boards[2]);
}

#[test]
fn a_locked_clock_cuts_decode_where_a_limit_does_nothing() {
    let free = settled(&H100, Workload::Decode, 3, |_| ());
    let capped = settled(&H100, Workload::Decode, 3, |board| assert!(board.set_power_limit(Watts(350.0))));
    let locked = settled(&H100, Workload::Decode, 3, |board| board.locked_hz = 1100e6);
    assert!((137.0..=300.0).contains(&free.power_w), "{} W", free.power_w);
    assert_eq!(free.power_w, capped.power_w);
    assert!(locked.power_w < 0.85 * free.power_w && locked.clock_hz <= 1101e6);
    assert_eq!(locked.busy, free.busy, "decode waits for memory: the load stays");
}

#[test]
fn the_published_clock_cut_lowers_an_a100s_power_by_about_a_fifth() {
    // 1110 of 1410 MHz cut peak power by 20 % (POLCA, arXiv 2308.12908).
    let full = settled(&A100, Workload::Training, 2, |_| ()).power_w;
    let locked = settled(&A100, Workload::Training, 2, |board| board.locked_hz = 1110e6).power_w;
    let cut = 1.0 - locked / full;
    assert!((0.15..0.25).contains(&cut), "{cut}");
}

#[test]
fn the_brake_forces_the_lowest_clock_and_says_so() {
    let board = settled(&H100, Workload::Training, 2, |board| board.inject(Fault::PowerBrake));
    assert!(board.clock_hz < H100.clock_min_hz * 1.01);
    assert_eq!(
        board.reasons & (reason::HW_POWER_BRAKE | reason::HW_SLOWDOWN),
        reason::HW_POWER_BRAKE | reason::HW_SLOWDOWN
    );
    assert!(board.power_w < 0.3 * H100.full_w);
}

#[test]
fn a_cap_that_is_not_held_is_passed_by_a_fifth_at_most() {
    let board = settled(&H100, Workload::Training, 2, |board| {
        assert!(board.set_power_limit(Watts(200.0)));
        board.inject(Fault::CapNotHeld);
    });
    assert!((205.0..=240.5).contains(&board.power_w), "{} W", board.power_w);
}

#[test]
fn training_dips_at_the_ends_of_iterations() {
    let mut node = Node::new(&H100, 1, 5, 0);
    node.set_workload(0, Workload::Training);
    let mut powers = Vec::new();
    for quantum in 1..=1000 {
        node.step_to(quantum * QUANTUM_NS);
        powers.push(node.boards[0].power_w);
    }
    let low = powers[250..].iter().copied().fold(f64::MAX, f64::min);
    let high = powers[250..].iter().copied().fold(0.0, f64::max);
    assert!((0.2..=0.75).contains(&(low / 700.0)) && high > 600.0, "{low} to {high} W");
}
