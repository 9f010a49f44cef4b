//! The roster over a list that is written down: arrivals, losses, moves and doubles.
use super::*;

fn second(n: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(n))
}

/// Guests are their identity and where they are; what the host is told is written down.
#[derive(Default)]
struct Log(Vec<String>);

type Who = (String, u32);

impl Host<Who> for Log {
    fn meet(&mut self, arrival: Arrival, _: Timestamp) -> Who {
        self.0.push(format!("{} met at {}", arrival.uuid, arrival.index));
        (arrival.uuid, arrival.index)
    }
    fn moved(&mut self, guest: &mut Who, index: u32) {
        self.0.push(format!("{} moved to {index}", guest.0));
        guest.1 = index;
    }
    fn duplicate(&mut self, guest: &mut Who) {
        self.0.push(format!("{} twice", guest.0));
    }
}

/// One look at a list of identities; an empty one does not answer.
fn look(roster: &mut Roster<Who>, list: &[&str], now: Timestamp, log: &mut Log) {
    let ask = &mut |index: u32| match list.get(index as usize) {
        Some(uuid) if !uuid.is_empty() => {
            Ok(Arrival { index, handle: Handle::nowhere(), uuid: (*uuid).to_owned() })
        }
        _ => Err(Fault::GPU_IS_LOST),
    };
    roster.count(Ok(list.len() as u32), now).unwrap();
    if std::mem::take(&mut roster.unsure) {
        roster.check_positions(ask, now);
    }
    roster.fill(ask, now, log);
}

fn told(log: &mut Log) -> Vec<String> {
    std::mem::take(&mut log.0)
}

#[test]
fn waits_double_from_a_second_to_a_minute() {
    let mut missing = Missing::new(second(0));
    let mut waits = Vec::new();
    for _ in 0..8 {
        missing.again(second(0), Reason::Lost);
        waits.push(missing.due.since(second(0)).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn who_leaves_is_looked_for_again_and_not_sooner_each_time() {
    let (mut roster, mut log) = (Roster::default(), Log::default());
    look(&mut roster, &["a"], second(0), &mut log);
    assert_eq!(told(&mut log), ["a met at 0"]);
    let mut at = 0;
    for wait in [1, 2, 4] {
        roster.visit(second(at), |_| Err(Fault::GPU_IS_LOST));
        look(&mut roster, &["a"], second(at + wait - 1), &mut log);
        assert!(log.0.is_empty(), "not before {wait} s");
        at += wait;
        look(&mut roster, &["a"], second(at), &mut log);
        assert_eq!(told(&mut log), ["a met at 0"]);
    }
    // One that stays for a while is looked for at once the next time.
    roster.visit(second(at + 120), |_| Err(Fault::GPU_IS_LOST));
    look(&mut roster, &["a"], second(at + 121), &mut log);
    assert_eq!(told(&mut log), ["a met at 0"]);
}

#[test]
fn a_device_that_the_driver_lists_elsewhere_moves_and_is_not_met_again() {
    let (mut roster, mut log) = (Roster::default(), Log::default());
    look(&mut roster, &["a", "b", "c"], second(0), &mut log);
    told(&mut log);
    // The first falls off the list and the others move up.
    roster.visit(second(1), |who| if who.0 == "a" { Err(Fault::GPU_IS_LOST) } else { Ok(()) });
    look(&mut roster, &["b", "c"], second(2), &mut log);
    assert_eq!(told(&mut log), ["b moved to 0", "c moved to 1"]);
    // It comes back at the end.
    look(&mut roster, &["b", "c", "a"], second(20), &mut log);
    assert_eq!(told(&mut log), ["a met at 2"]);
    assert!(roster.check().is_ok());
}

#[test]
fn a_device_that_comes_back_last_moves_the_others_up_and_doubles_nobody() {
    let (mut roster, mut log) = (Roster::default(), Log::default());
    look(&mut roster, &["a", "b", "c"], second(0), &mut log);
    told(&mut log);
    roster.visit(second(1), |who| if who.0 == "a" { Err(Fault::GPU_IS_LOST) } else { Ok(()) });
    roster.unsure = false;
    look(&mut roster, &["b", "c", "a"], second(2), &mut log);
    assert_eq!(told(&mut log), ["b moved to 0", "c moved to 1", "a met at 2"]);
}

#[test]
fn of_two_devices_with_one_identity_the_first_is_met() {
    let (mut roster, mut log) = (Roster::default(), Log::default());
    look(&mut roster, &["a", "a"], second(0), &mut log);
    assert_eq!(told(&mut log), ["a met at 0", "a twice"]);
}

#[test]
fn a_roster_in_which_nobody_answers_fails_for_the_reason_of_the_loss() {
    let (mut roster, mut log) = (Roster::default(), Log::default());
    look(&mut roster, &["a", "b"], second(0), &mut log);
    roster.visit(second(0), |_| Err(Fault::UNINITIALIZED));
    assert_eq!(roster.check().map_err(|error| error.reason), Err(Reason::Lost));
    assert!(Roster::<()>::default().check().is_ok(), "a node without GPUs is well");
}

#[test]
fn a_driver_that_is_gone_is_a_loss_even_with_guests() {
    let (mut roster, mut log) = (Roster::default(), Log::default());
    look(&mut roster, &["a"], second(0), &mut log);
    for (code, gone) in [(1, true), (9, true), (18, true), (10, false), (999, false)] {
        let counted = Fault::check(code).map(|()| 0);
        assert_eq!(roster.count(counted, second(30)).is_err(), gone, "{code}");
    }
}
