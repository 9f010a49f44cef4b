//! A short form of the comparison, and every mishap by itself in a busy hour.
use super::check::{Breach, Breaches};
use super::keeper::{Bench, Journal, Keeper};
use super::*;
use model::{Action, Decision, Hertz, Keep, Knob, Mode, Order, Span, Timestamp, Watts, Why};
use sim::plant::mishap::{Mishap, RATES, Spell};
use sim::plant::{Plant, STEPS_A_SECOND};

const HOUR: u64 = 3600 * STEPS_A_SECOND;
/// A day on which the node would draw more than its budget for most of the second hour.
const BUSY: u64 = 51;

fn flags(days: u32, policy: &[&str]) -> Evaluate {
    Evaluate {
        interference: false,
        gpu: false,
        data: None,
        json: None,
        detector: Vec::new(),
        machine: Vec::new(),
        simulated: false,
        seeds: 0,
        first_seed: 1,
        hours: 0.0,
        beat: None,
        fault: Vec::new(),
        without: Vec::new(),
        power: true,
        days,
        jobs: Some(2),
        policy: policy.iter().map(|name| (*name).to_owned()).collect(),
        mishaps: 10.0,
        host: false,
    }
}

fn kept(one: &Day) -> String {
    format!("seed {}: far {:?}, broken {:?}, {:?}", one.seed, one.far, one.broken, one.meter)
}

/// The first hours of a busy day with these mishaps in the second, and ten minutes more.
fn busy(contender: Contender, spells: Vec<Spell>) -> Day {
    run::run(contender, BUSY, HOUR + 1800 * STEPS_A_SECOND, Plant::with(BUSY, spells))
}

fn spell(mishap: Mishap, board: usize, draw: u64) -> Spell {
    let from = HOUR + 300 * STEPS_A_SECOND;
    let lasts_s = RATES.iter().find(|rate| rate.mishap == mishap).unwrap().lasts_s.1.min(900.0);
    Spell { mishap, board, from, until: from + (lasts_s * STEPS_A_SECOND as f64) as u64, draw }
}

#[test]
fn a_short_comparison_shows_the_budget_held_by_wattkeeper_and_passed_without_it() {
    let tasks: Vec<_> = [5, BUSY].iter().flat_map(|seed| Contender::ALL.map(|one| (one, *seed))).collect();
    let report = measure(&tasks, Some(2), Terms { steps: 4 * HOUR, times: 10.0, crowded: false }).unwrap();
    let row = |contender| report.row(contender).unwrap();
    let own = row(Contender::Wattkeeper);
    assert_eq!((own.trips, own.lost, own.breaches), (0, 0, [0; Breach::ALL.len()]), "{}", report.text());
    assert_eq!((own.far_s, report.exit_code()), (0.0, 0), "{}", report.text());
    assert!(row(Contender::None).over_s > 600.0 && own.over_s < 10.0, "{}", report.text());
    assert_eq!(row(Contender::Static).over_s, 0.0, "{}", report.text());
    for one in [Contender::OneAll, Contender::OneLow, Contender::Proportional] {
        assert!(row(one).over_s > 10.0 && row(one).loosenings > 0, "{}", report.text());
    }
    let loss = own.loss.unwrap();
    assert!(loss[0].mean < loss[2].mean, "high priority loses less than low: {loss:?}");
    assert!(report.text().contains("Simulated") && report.text().contains("sensor_stuck 0"));
    assert_eq!(report.json()["policies"]["wattkeeper"]["lost_originals"], 0);
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let one = || {
        format!("{:?}", day(Contender::Wattkeeper, 5, Terms { steps: HOUR, times: 2000.0, crowded: false }))
    };
    assert_eq!(one(), one());
}

#[test]
fn no_mishap_by_itself_makes_a_busy_node_draw_far_too_much_for_too_long() {
    let node = RATES.map(|rate| rate.mishap).into_iter().filter(|one| *one < Mishap::PackageLocked);
    for (place, mishap) in node.enumerate() {
        // Both ways in which a range changes are tried by the days of the comparison.
        let day = busy(Contender::Wattkeeper, vec![spell(mishap, place % 8, 0)]);
        assert!(day.far.is_empty() && day.meter.trips == 0, "{} {}", mishap.as_str(), kept(&day));
        assert!(day.broken.is_empty() && day.lost == 0, "{} {}", mishap.as_str(), kept(&day));
    }
}

#[test]
fn originals_survive_a_keeper_that_dies_at_any_of_its_writes() {
    for writes in 0..=8 {
        let day = busy(Contender::Wattkeeper, vec![spell(Mishap::KeeperKilled, 0, writes)]);
        assert_eq!((day.lost, day.breaches), (0, [0; Breach::ALL.len()]), "{writes}: {}", kept(&day));
    }
}

#[test]
fn an_unknown_policy_is_refused_and_a_known_one_runs_beside_none() {
    assert!(
        evaluate(&flags(1, &["magic"])).unwrap_err().to_string().contains("there are no_cap, static_caps")
    );
    let report = evaluate(&flags(0, &["static_caps"])).unwrap();
    assert!(report.rows.is_empty());
}

#[test]
fn every_check_can_fail() {
    let at = |s: u64| Timestamp { mono_ns: s * 1_000_000_000, wall_ms: 0 };
    let mut plant = Plant::with(1, Vec::new());
    let mut breaches = Breaches::default();
    breaches.trimmed(Watts(1200.0));
    breaches.step(&plant, Watts(5440.0), at(1));
    breaches.loosened(at(2), 1, false);
    breaches.loosened(at(2), 1, true);
    breaches.loosened(at(9), 2, false);
    breaches.refused(0, at(10));
    plant.set_limit(0, 500.0).unwrap();
    let eyes = eyes::Eyes::new();
    let device = |index: usize| eyes.frame.devices.iter().nth(index).unwrap().id;
    for journalled in [700.0, 500.0] {
        breaches.first_write(0, 700.0, journalled);
        breaches.given_back(device(0), &plant, at(11));
    }
    breaches.first_write(1, 700.0, 700.0);
    breaches.kept_back(&plant, at(12));
    breaches.note(Breach::Raised, at(13), 0);
    breaches.note(Breach::Standstill, at(13), 0);
    assert_eq!(breaches.counts, [1, 1, 1, 1, 2, 2, 1, 1, 0], "{:?}", breaches.kept);
    assert_eq!(breaches.lost, 3);
}

#[test]
fn every_check_of_the_host_can_fail() {
    let at = |s: u64| Timestamp { mono_ns: s * 1_000_000_000, wall_ms: 0 };
    let eyes = eyes::Eyes::new();
    let device = |index: usize| eyes.frame.devices.iter().nth(index).unwrap().id;
    let order = |index: usize, knob: Knob, value: f64| {
        Order::new(device(index), "a key".into(), (knob, value), Span::new(0.1, 1000.0).unwrap())
    };
    let (package, group) = (Knob::PowerLimit, Knob::CpuQuota);
    let mut breaches = Breaches::default();
    let count = |breaches: &Breaches, breach: Breach| breaches.counts[breach as usize];
    // Below the floors of the policy, or as low as it was.
    breaches.ordered(&order(8, package, 205.0), (Some(350.0), None), Why::OverHigh, at(1));
    breaches.ordered(&order(12, group, 0.7), (Some(64.0), None), Why::OverHigh, at(1));
    breaches.ordered(&order(12, group, 0.8), (Some(0.8), None), Why::OverHigh, at(1));
    assert_eq!(count(&breaches, Breach::Range), 2, "{:?}", breaches.kept);
    // Over somebody else's tighter quota, but at a stop.
    breaches.ordered(&order(12, group, 4.0), (Some(2.0), Some(8.0)), Why::Headroom, at(2));
    breaches.ordered(&order(12, group, 4.0), (Some(2.0), Some(8.0)), Why::Stop, at(2));
    assert_eq!(count(&breaches, Breach::Fought), 1, "{:?}", breaches.kept);
    for second in [10, 20, 30, 40, 640] {
        breaches.ordered(&order(9, package, 300.0), (Some(350.0), Some(300.0)), Why::Drift, at(second));
    }
    assert_eq!(count(&breaches, Breach::Fought), 2, "the fourth in ten minutes: {:?}", breaches.kept);
    // An original that does not come back.
    let mut plant = Plant::with(1, Vec::new());
    for (index, site, original) in [(8, 8, 350.0), (12, 10, 64.0)] {
        breaches.first_write(site, original, original);
        breaches.given_back(device(index), &plant, at(50));
        assert_eq!(breaches.lost, 0);
    }
    plant.set_package(0, 300.0).unwrap();
    plant.set_quota(0, 4.0).unwrap();
    for (index, site, original) in [(8, 8, 350.0), (12, 10, 64.0)] {
        breaches.first_write(site, original, original);
        breaches.given_back(device(index), &plant, at(60));
        breaches.first_write(site, original, original);
    }
    breaches.kept_back(&plant, at(70));
    assert_eq!((breaches.lost, count(&breaches, Breach::Original)), (4, 4), "{:?}", breaches.kept);
}

/// Two hours of a crowded node under a tight budget with these mishaps in the second.
fn crowded(seed: u64, spells: Vec<Spell>) -> Day {
    let plant = Plant::with(seed, spells).crowded();
    run::run(Contender::Host, seed, HOUR + 1800 * STEPS_A_SECOND, plant)
}

#[test]
fn a_short_comparison_on_crowded_nodes_shows_processors_giving_what_accelerators_cannot() {
    let ours = [Contender::None, Contender::Wattkeeper, Contender::Host];
    let tasks: Vec<_> = [5, BUSY].iter().flat_map(|seed| ours.map(|one| (one, *seed))).collect();
    let report = measure(&tasks, Some(2), Terms { steps: 4 * HOUR, times: 10.0, crowded: true }).unwrap();
    let row = |contender| report.row(contender).unwrap();
    let (plain, host) = (row(Contender::Wattkeeper), row(Contender::Host));
    assert_eq!((host.trips, host.lost, host.breaches), (0, 0, [0; Breach::ALL.len()]), "{}", report.text());
    assert_eq!(plain.chores, row(Contender::None).chores, "only the one that may turns processors");
    assert!(host.chores[0] > plain.chores[0] + 0.01, "{}", report.text());
    assert!(report.text().contains("wattkeeper_host") && report.text().contains("Budget 50 %"));
}

#[test]
fn no_mishap_of_the_host_by_itself_breaks_an_invariant_of_its_knobs() {
    let mut turned = 0.0;
    let host = RATES.map(|rate| rate.mishap).into_iter().filter(|one| *one >= Mishap::PackageLocked);
    for (place, mishap) in host.chain([Mishap::KeeperKilled, Mishap::PermissionLost]).enumerate() {
        let mut spells = vec![spell(mishap, place % 8, 3)];
        // Without packages to turn quotas are turned: every other day both are locked.
        if place % 2 == 0 {
            spells.extend((0..2).map(|board| Spell {
                mishap: Mishap::PackageLocked,
                board,
                from: 1,
                until: u64::MAX,
                draw: 0,
            }));
            spells.sort_by_key(|spell| spell.from);
        }
        let day = crowded(BUSY, spells);
        assert!(day.broken.is_empty() && day.lost == 0, "{} {}", mishap.as_str(), kept(&day));
        turned += day.chores[0].wanted_s - day.chores[0].done_s;
    }
    assert!(turned > 0.0);
}

#[test]
fn a_clock_is_turned_through_the_keeper_and_a_tuned_one_goes_back_after_a_crash() {
    let (mut plant, mut journal, mut breaches) =
        (Plant::with(1, Vec::new()), Journal::new(), Breaches::default());
    let now = Timestamp { mono_ns: 1_000_000_000, wall_ms: 0 };
    let mut eyes = eyes::Eyes::new();
    eyes.look(&plant, now);
    let mut keeper = Keeper::default();
    eyes.know(&mut keeper.known);
    keeper.reach();
    assert_eq!(keeper.report.reaches.len(), 8 + 2 + 3);
    let decision = |board: usize, keep: Keep| Decision {
        id: 1,
        at: now,
        device: eyes.frame.devices.iter().nth(board).unwrap().id,
        action: Action::Clock(Hertz(990e6)),
        why: Why::OverLow,
        event: None,
        expires: None,
        keep,
        mode: Mode::Enforce,
    };
    keeper.pending = vec![decision(0, Keep::Safety), decision(1, Keep::Tuning)];
    keeper.tick(&mut Bench { now, plant: &mut plant, journal: &mut journal, breaches: &mut breaches });
    assert_eq!((plant.clock_bound(0), plant.clock_bound(1)), (Ok(990e6), Ok(990e6)));
    assert_eq!((keeper.report.caps.clocks.len(), journal.len()), (2, 2));
    let mut next = Keeper::start(&journal);
    eyes.know(&mut next.known);
    let mut bench = Bench { now, plant: &mut plant, journal: &mut journal, breaches: &mut breaches };
    next.tick(&mut bench);
    assert_eq!((bench.plant.clock_bound(0), bench.plant.clock_bound(1)), (Ok(990e6), Ok(1980e6)));
    next.stop(&mut bench);
    assert_eq!(bench.plant.clock_bound(0), Ok(1980e6));
    assert!(journal.is_empty());
}
