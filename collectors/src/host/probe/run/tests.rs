//! Tests of a run: the cycle of lines, and time that is bounded whatever the machine does.
use super::*;
use crate::host::probe::tests::Scripted;

#[test]
fn the_lines_are_one_cycle() {
    let work = Work::new();
    let (mut at, mut length) = (0, 0);
    loop {
        at = work.lines[at as usize].0;
        length += 1;
        if at == 0 {
            break;
        }
    }
    assert_eq!(length, CHASE_BYTES / LINE_BYTES);
}

#[test]
fn a_run_stays_within_its_budget_whatever_a_piece_takes() {
    let mut work = Work::new();
    // A single piece of more than 40 us is the only way past it: 64 loads of more than 600 ns.
    for step_ns in [10, 500, 3_000, 7_000, 13_000, 20_000, 39_000] {
        let mut machine = Scripted::default();
        machine.0.lock().unwrap().step_ns = step_ns;
        let begin = machine.cpu_ns();
        let sample = work.run(&mut machine);
        let took = machine.cpu_ns() - begin;
        // Three more looks at the clock are the begin, and the begin of each part.
        assert!(
            took <= 2 * PART_NS + 4 * step_ns.min(5_000) + 4 * step_ns,
            "{took} ns in steps of {step_ns}"
        );
        let latency = step_ns as f64 / LOADS as f64 * 1e-9;
        assert!(sample.is_some_and(|sample| (sample.latency_s - latency).abs() < 1e-15));
    }
}

#[test]
fn a_piece_that_takes_longer_makes_the_pieces_fewer() {
    let pieces = |step_ns| {
        let mut machine = Scripted::default();
        machine.0.lock().unwrap().step_ns = step_ns;
        let mut count = 0;
        let median = paced(&mut machine, || count += 1);
        assert_eq!(median, step_ns);
        count
    };
    assert_eq!([1_000, 4_000, 15_000, 30_000, 90_000].map(pieces), [PIECES_MAX, 10, 2, 1, 1]);
}

#[test]
fn the_next_run_goes_on_where_the_last_one_ended() {
    let mut work = Work::new();
    let mut machine = Scripted::default();
    machine.0.lock().unwrap().step_ns = 1_000;
    let mut seen = std::collections::BTreeSet::new();
    let rounds = COPY_BYTES / PIECE_BYTES / PIECES_MAX;
    for _ in 0..rounds {
        assert!(seen.insert((work.at, work.piece)));
        work.run(&mut machine);
    }
    assert_eq!(work.piece, 0, "the copy has been through the whole buffer");
    assert!(work.to.iter().all(|byte| *byte == 1));
}
