//! Tests of the host as the last resort: packages first, containers of low priority where there is no package to turn.
use super::plant::{CORES, Plant};
use super::*;

const CLASSES: [Priority; 4] = [Priority::High, Priority::Normal, Priority::Normal, Priority::Low];

/// Four hungry boards under a budget that their floors and the host just pass.
fn cornered(budget: f64) -> Plant {
    Plant::new(&[690.0; 4], &CLASSES, budget).processors(320.0)
}

fn zone_limits(plant: &Plant) -> Vec<f64> {
    plant.processors.iter().map(|one| one.limit).collect()
}

fn quotas(plant: &Plant) -> Vec<f64> {
    plant.containers.iter().map(|group| group.quota).collect()
}

/// Whether a proposal is about the host.
fn hosts(plant: &Plant, proposal: &Proposal) -> bool {
    !plant.boards.iter().any(|board| board.id == proposal.device)
}

#[test]
fn where_accelerators_alone_keep_the_budget_no_package_is_touched() {
    let mut plant = cornered(2600.0);
    for _ in 0..300 {
        let proposals = plant.beat();
        assert!(!proposals.iter().any(|p| hosts(&plant, p)), "{proposals:?}");
    }
    assert!(plant.limits()[3] < 700.0, "accelerators were: {:?}", plant.limits());
}

#[test]
fn by_default_the_host_is_left_alone_whatever_happens() {
    let mut plant = cornered(1900.0);
    plant.policy.set(Settings { host: false, ..*plant.policy.settings() });
    plant.beats(100);
    assert_eq!((plant.stage(), zone_limits(&plant)), (PowerStage::Brake, vec![350.0; 2]));
}

#[test]
fn packages_end_a_brake_that_accelerators_alone_cannot_end_and_stop_at_their_floor() {
    // Floors of 4 x 210 W and the host's 1140 W are 1980 W: more than the budget.
    let mut plant = cornered(1950.0);
    plant.beats(2);
    assert_eq!((plant.limits(), zone_limits(&plant)), (vec![200.0; 4], vec![350.0; 2]), "accelerators first");
    plant.beats(4);
    assert_eq!(zone_limits(&plant), [210.0; 2], "60 % of what they were");
    assert!(plant.whole() < 1950.0, "{} W", plant.whole());
    // What the host gave is what the brake needed to let go: 840 W of floors, 500 W and 420 W are 0.90 of it, and it may not.
    plant.policy.set_budget(Some(Watts(2150.0)));
    plant.beats(4);
    assert_eq!(plant.stage(), PowerStage::High);
    let mut tight = cornered(1200.0);
    tight.beats(100);
    assert_eq!(zone_limits(&tight), [210.0; 2], "never below it");
    assert!(tight.troubled(PowerTrouble::Infeasible));
}

#[test]
fn below_the_budget_packages_go_down_a_step_at_a_time_and_no_faster_than_power_follows() {
    // 1980 W are 0.90 of it: above the high threshold, below the budget.
    let mut plant = Plant::new(&[690.0; 4], &CLASSES, 2190.0).processors(200.0);
    plant.beats(30);
    plant.processors.iter_mut().for_each(|one| one.wants = 330.0);
    let (mut steps, mut before) = (Vec::new(), zone_limits(&plant));
    for beat in 0..40 {
        plant.beat();
        let now = zone_limits(&plant);
        if now[0] < before[0] {
            steps.push((beat, before[0] - now[0]));
        }
        before = now;
    }
    let apart = steps.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 2);
    assert!(!steps.is_empty() && apart, "{steps:?}");
    assert!(before.iter().all(|limit| *limit >= 210.0), "{before:?}");
}

#[test]
fn important_accelerators_get_power_back_before_packages_and_packages_before_the_others() {
    let mut plant = cornered(1950.0);
    plant.beats(20);
    assert_eq!(zone_limits(&plant), [210.0; 2]);
    plant.policy.set_budget(Some(Watts(5400.0)));
    let (mut order, mut last) = (Vec::new(), None);
    for beat in 0..600 {
        let raised: Vec<_> = plant.beat().into_iter().filter(|p| p.why == Why::Headroom).collect();
        assert!(plant.whole() <= 5400.0);
        let Some(first) = raised.first() else { continue };
        assert!(last.is_none_or(|last| beat > last + 1), "one step a hold");
        last = Some(beat);
        let class =
            |p: &Proposal| plant.boards.iter().position(|board| board.id == p.device).map(|n| CLASSES[n]);
        assert!(raised.iter().all(|p| class(p) == class(first)), "one class or the host: {raised:?}");
        if order.last() != Some(&class(first)) {
            order.push(class(first));
        }
    }
    let expected = [Some(Priority::High), None, Some(Priority::Normal), Some(Priority::Low)];
    assert_eq!(order, expected, "None is the host");
    assert_eq!((zone_limits(&plant), plant.stage()), (vec![350.0; 2], PowerStage::Free));
}

#[test]
fn a_missing_reading_of_anything_never_loosens_a_package() {
    for missing in 0..2 {
        let mut plant = cornered(1950.0);
        plant.beats(20);
        assert_eq!(zone_limits(&plant), [210.0; 2]);
        plant.want(&[60.0; 4]);
        plant.policy.set_budget(Some(Watts(6000.0)));
        match missing {
            0 => plant.boards[0].readable = false,
            _ => plant.processors[1].readable = false,
        }
        for _ in 0..200 {
            assert!(plant.beat().iter().all(|p| p.why != Why::Headroom));
        }
        assert_eq!(zone_limits(&plant), [210.0; 2]);
        plant.boards[0].readable = true;
        plant.processors[1].readable = true;
        plant.beats(100);
        assert_eq!(zone_limits(&plant), [350.0; 2], "and a known node gets all back");
    }
}

/// The same node where the packages have no limit that can be written, and containers use 30 cores each.
fn without_packages(budget: f64) -> Plant {
    let mut plant = Plant::new(&[690.0; 4], &CLASSES, budget)
        .processors(170.0)
        .group("docker/a", true, Priority::Low, 30.0)
        .group("docker/b", true, Priority::Normal, 10.0)
        .group("docker/c", true, Priority::High, 10.0)
        .group("system.slice/d.service", false, Priority::Low, 10.0);
    plant.processors.iter_mut().for_each(|one| (one.span, one.limit) = (None, 1000.0));
    plant
}

#[test]
fn where_no_package_can_be_turned_containers_of_low_priority_are_and_nothing_else_is() {
    let mut plant = without_packages(1950.0);
    plant.beats(20);
    assert_eq!(quotas(&plant), [1.0, CORES, CORES, CORES], "down to one core");
    plant.policy.set_budget(Some(Watts(6000.0)));
    plant.beats(600);
    assert_eq!(quotas(&plant), [CORES; 4]);
}

#[test]
fn below_the_budget_a_container_loses_a_quarter_a_step_until_power_is_low_enough() {
    let mut plant = without_packages(2300.0);
    // Idle boards at their floors, and 2150 W of which the processors draw 1230 W: 0.93 of the budget.
    plant.boards.iter_mut().for_each(|board| (board.wants, board.limit) = (100.0, 200.0));
    plant.processors[1].wants = 760.0;
    let mut seen = vec![CORES];
    for _ in 0..30 {
        plant.beat();
        let quota = plant.containers[0].quota;
        if seen.last() != Some(&quota) {
            seen.push(quota);
        }
        assert_ne!(plant.stage(), PowerStage::Brake);
    }
    assert_eq!(seen, [CORES, 22.5, 16.875, 12.65625, 9.4921875, 7.119140625]);
    assert_eq!(quotas(&plant)[1..], [CORES; 3]);
}

#[test]
fn a_limit_that_cannot_be_written_gives_way_to_quotas_and_is_tried_again_later() {
    let mut plant = without_packages(1950.0);
    plant.processors.iter_mut().for_each(|one| (one.span, one.writable) = (Some((150.0, 500.0)), false));
    plant.processors.iter_mut().for_each(|one| one.limit = 500.0);
    let mut asked = Vec::new();
    for beat in 0..900 {
        let proposals = plant.beat();
        if proposals.iter().any(|p| p.device == plant.processors[0].id) {
            asked.push(beat);
        }
        if asked.len() < 3 {
            assert_eq!(quotas(&plant), [CORES; 4], "packages come first");
        }
    }
    assert_eq!(quotas(&plant)[0], 1.0);
    assert!(asked.len() >= 4 && asked[2] < 20 && asked[3] > 600, "{asked:?}");
}

#[test]
fn a_package_that_does_not_hold_its_limit_is_told_and_gives_way_to_quotas() {
    let mut plant = without_packages(1950.0);
    plant
        .processors
        .iter_mut()
        .for_each(|one| (one.span, one.obeys, one.limit) = (Some((10.0, 500.0)), false, 500.0));
    plant.beats(20);
    assert!(!plant.troubled(PowerTrouble::CapNotHeld) && quotas(&plant)[0] == CORES, "within its window");
    plant.beats(40);
    assert!(plant.troubled(PowerTrouble::CapNotHeld));
    assert_eq!(quotas(&plant)[0], 1.0);
}

#[test]
fn a_container_that_goes_takes_its_quota_with_it_and_no_order_is_made_for_it() {
    let mut plant = without_packages(1950.0);
    plant.beats(20);
    plant.containers[0].gone = true;
    // The plant fails an order for what is gone.
    plant.beats(20);
    plant.policy.set_budget(Some(Watts(6000.0)));
    plant.beats(200);
    assert_eq!(plant.limits(), [700.0; 4], "the others go on");
}

/// Beats on which something is proposed for a device because of drift, of so many.
fn drifts(
    plant: &mut Plant,
    device: model::DeviceId,
    beats: usize,
    mut between: impl FnMut(&mut Plant),
) -> usize {
    let mut count = 0;
    for _ in 0..beats {
        between(plant);
        let proposals = plant.beat();
        count += usize::from(proposals.iter().any(|p| p.device == device && p.why == Why::Drift));
    }
    count
}

#[test]
fn a_quota_that_somebody_else_raises_is_set_back_three_times_and_then_called_contended() {
    let mut plant = without_packages(1950.0);
    plant.beats(20);
    plant.policy.set_budget(Some(Watts(2200.0)));
    plant.beats(3);
    assert_eq!(plant.stage(), PowerStage::High, "the brake is released");
    // Power stays between release and threshold: nothing is trimmed and nothing loosened.
    plant.policy.set_budget(Some(Watts(2150.0)));
    plant.containers[0].quota = 5.0;
    let group = plant.containers[0].id;
    assert_eq!(drifts(&mut plant, group, 10, |_| {}), 1, "once is enough where nobody answers");
    assert_eq!((quotas(&plant)[0], plant.troubled(PowerTrouble::Contended)), (1.0, false));
    let raise = |plant: &mut Plant| plant.containers[0].quota = 5.0;
    assert_eq!(drifts(&mut plant, group, 60, raise), 2, "three in all");
    assert!(plant.troubled(PowerTrouble::Contended));
    plant.beats(590);
    plant.containers[0].quota = 1.0;
    plant.beats(601);
    assert!(!plant.troubled(PowerTrouble::Contended));
    assert_eq!(drifts(&mut plant, group, 10, raise), 3, "after ten quiet minutes it is tried again");
}

#[test]
fn a_limit_of_a_package_that_somebody_raises_while_power_is_low_is_set_back_at_once() {
    let mut plant = cornered(1950.0);
    plant.beats(20);
    plant.policy.set_budget(Some(Watts(2150.0)));
    plant.beats(4);
    plant.processors[0].limit = 350.0;
    let package = plant.processors[0].id;
    assert_eq!(drifts(&mut plant, package, 5, |_| {}), 1);
    assert_eq!(zone_limits(&plant), [210.0; 2]);
}

#[test]
fn a_tighter_quota_of_somebody_else_is_accepted_and_never_raised() {
    let mut plant = without_packages(1950.0);
    plant.beats(20);
    plant.containers[0].quota = 0.7;
    plant.policy.set_budget(Some(Watts(6000.0)));
    let group = plant.containers[0].id;
    for _ in 0..300 {
        assert!(plant.beat().iter().all(|p| p.device != group));
    }
    assert_eq!((quotas(&plant)[0], plant.limits()), (0.7, vec![700.0; 4]), "and the others get theirs");
    plant.containers[0].quota = 1.0;
    plant.beats(300);
    assert_eq!(quotas(&plant)[0], CORES, "once it is gone, our cap goes as any other");
}

#[test]
fn a_quota_that_cannot_be_read_is_not_raised() {
    let mut plant = without_packages(1950.0);
    plant.beats(20);
    plant.containers[0].readable = false;
    plant.policy.set_budget(Some(Watts(6000.0)));
    plant.beats(300);
    assert_eq!(quotas(&plant)[0], 1.0);
    plant.containers[0].readable = true;
    plant.beats(300);
    assert_eq!(quotas(&plant)[0], CORES);
}

#[test]
fn an_operator_who_wants_the_host_left_alone_gets_everything_of_it_back_at_once() {
    let mut plant = cornered(1950.0);
    plant.beats(20);
    plant.policy.set(Settings { host: false, ..*plant.policy.settings() });
    plant.beat();
    assert_eq!(zone_limits(&plant), [350.0; 2]);
    assert!(plant.caps.power.iter().all(|cap| plant.boards.iter().any(|board| board.id == cap.device)));
}

#[test]
fn without_a_budget_every_cap_of_the_host_is_given_back() {
    let mut plant = without_packages(1950.0);
    plant.beats(20);
    plant.policy.set_budget(None);
    plant.beat();
    assert_eq!((quotas(&plant), plant.caps.clone()), (vec![CORES; 4], model::stages::Caps::default()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_the_load_no_package_leaves_its_floor_and_original_nor_a_quota_its_own_and_no_gap_loosens(
        loads in prop::collection::vec((50.0..700.0_f64, 60.0..500.0_f64, 0.0..40.0_f64, any::<bool>()), 20..60),
        budget in 1500.0..4000.0_f64, turnable in any::<bool>(),
    ) {
        let mut plant = without_packages(budget);
        if turnable {
            plant.processors.iter_mut().for_each(|one| (one.span, one.limit) = (Some((150.0, 350.0)), 350.0));
        }
        for (board, package, cores, readable) in loads {
            plant.want(&[board; 4]);
            plant.processors.iter_mut().for_each(|one| (one.wants, one.readable) = (package, readable));
            plant.containers[0].wants = cores;
            for _ in 0..4 {
                let before = (zone_limits(&plant), quotas(&plant));
                plant.beat();
                let now = (zone_limits(&plant), quotas(&plant));
                if turnable {
                    prop_assert!(now.0.iter().all(|limit| (209.9..=350.0).contains(limit)), "{:?}", now);
                }
                prop_assert!((1.0..=CORES).contains(&now.1[0]) && now.1[1..] == [CORES; 3], "{:?}", now);
                if !readable {
                    let looser = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(now, before)| now > before);
                    prop_assert!(!looser(&now.0, &before.0) && !looser(&now.1, &before.1), "{:?}", now);
                }
            }
        }
    }
}
