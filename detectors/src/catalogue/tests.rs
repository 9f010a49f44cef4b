//! Tests of the catalogue: the built-in one is whole, an override changes what it names, and a bad one is told in full.
use super::*;
use proptest::prelude::*;

#[test]
fn the_built_in_catalogue_is_whole() {
    let (catalogue, problems) = Catalogue::parse();
    assert_eq!(problems, []);
    for limit in Limit::ALL {
        let (row, value) = (limit.row(), catalogue.limit(*limit));
        assert!((row.low..=row.high).contains(&value), "{} {}", row.fault.as_str(), row.key);
        assert!(catalogue.row(row.fault).listed);
    }
    for row in catalogue.rows() {
        let name = row.fault.as_str();
        assert!(!row.source.is_empty() && !row.confirm.is_empty(), "{name} has its sources");
        assert!(row.worst >= row.severity, "{name}");
        assert_eq!(row.remedy, row.fault.remedy(), "{name}");
        let inspection = row.remedy >= Remedy::InspectHardware;
        assert!(
            !(row.driver_wins && inspection),
            "{name}: a driver's reset does not stand in for an inspection"
        );
        if row.pace.raise_beats > 2 {
            assert!(!row.delay.is_empty(), "{name} says why it takes longer than two beats");
        }
    }
}

#[test]
fn every_fault_is_a_rules_or_a_statistics() {
    let statistics = [
        FaultKind::Straggler,
        FaultKind::CoolingPoor,
        FaultKind::MemoryLeak,
        FaultKind::HeatCreep,
        FaultKind::ErrorsRising,
        FaultKind::MetricVanished,
        FaultKind::SensorFrozen,
        FaultKind::AnswersSlowly,
        FaultKind::Residual,
        FaultKind::HostStarved,
        FaultKind::Interference,
    ];
    for fault in FaultKind::ALL {
        let listed = Catalogue::built_in().row(*fault).listed;
        assert_eq!(listed, !statistics.contains(fault), "{}", fault.as_str());
    }
}

#[test]
fn all_172_xids_have_a_row() {
    let codes: Vec<u32> = Catalogue::built_in().xids().iter().map(|row| row.code).collect();
    assert_eq!(codes, (1..=172).collect::<Vec<_>>());
    for row in Catalogue::built_in().xids() {
        let full = [&row.mnemonic, &row.title, &row.policy].iter().all(|text| !text.is_empty());
        assert!(full, "{}", row.code);
    }
    let row = |code| Catalogue::built_in().xid(code).unwrap();
    for code in [13, 31, 43, 45, 63, 68, 92, 94, 109] {
        assert!(!row(code).because.is_empty(), "policies disagree on {code}, so the row says why");
    }
    for code in [48, 74, 79, 95, 119, 120, 140] {
        assert_eq!(row(code).severity, Severity::Critical, "DCGM always fails on {code}");
    }
    assert_eq!((row(94).repeats, row(79).repeats), (0, 2));
}

#[test]
fn an_override_changes_what_it_names_and_nothing_else() {
    let text = "[[fault]]\nfault = \"pcie_replays\"\nquiet_s = 7\nlimits.gen5 = 4\n[[xid]]\ncode = 109\nseverity = \"critical\"\n";
    let changed = Catalogue::with(text).unwrap();
    let mut expected = Catalogue::built_in().clone();
    expected.limits[Limit::ReplaysGen5 as usize] = 4.0;
    expected.rows[FaultKind::PcieReplays as usize].pace.quiet_s = 7.0;
    expected.xids[108].severity = Severity::Critical;
    assert_eq!(changed, expected);
    assert_eq!(Catalogue::with("").as_ref(), Ok(Catalogue::built_in()));
}

#[test]
fn every_problem_of_an_override_is_told_at_once_with_place_value_and_remedy() {
    let text = "
        nonsense = 1
        [[fault]]
        fault = \"pcie_replay\"
        [[fault]]
        fault = \"residual\"
        [[fault]]
        quiet_s = 5
        [[fault]]
        fault = \"xid\"
        severity = \"fatal\"
        remedy = 3
        quiet_s = -1
        repeats = 1.5
        colour = \"red\"
        raise_beats = 5
        limits.coalesce_s = nan
        limits.gen5 = 1
        signals = [\"no_such_metric\"]
        [[fault]]
        fault = \"xid\"
        [[xid]]
        code = 173
        [[xid]]
        code = 79
        class = \"odd\"
        [[xid]]
        code = 79
    ";
    let problems = Catalogue::with(text).unwrap_err();
    let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for expected in [
        "nonsense = 1 is not known",
        "fault number 1: fault = \"pcie_replay\" is not a fault",
        "fault number 2: fault = \"residual\" is not a fault",
        "fault number 3: fault is missing",
        "fault xid: severity = \"fatal\" is not known; write one of info, warning, critical",
        "fault xid: remedy = 3",
        "fault xid: quiet_s = -1 is out of range; write a number from 0",
        "fault xid: repeats = 1.5",
        "fault xid: colour = \"red\" is not a key",
        "fault xid: raise_beats = 5 is more than within_beats",
        "fault xid: limits.coalesce_s = nan is out of range",
        "fault xid: limits.gen5 = 1 is not a limit of this fault; known: coalesce_s",
        "fault xid: signals",
        "fault xid is there twice",
        "xid number 1: code = 173 is not an XID",
        "xid 79: class = \"odd\"",
        "xid 79 is there twice",
    ] {
        assert!(all.contains(expected), "{expected} is missing in:\n{all}");
    }
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
    let broken = Catalogue::with("[[fault]]\nfault = \n").unwrap_err();
    assert!(broken[0].to_string().contains("line 2 is not TOML"), "{}", broken[0]);
    assert!(Catalogue::with(&"#".repeat(TEXT_MAX + 1)).unwrap_err()[0].what.contains("too long"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,400}") {
        let _ = Catalogue::with(&text);
    }

    #[test]
    fn no_damaged_catalogue_makes_the_reader_panic(
        from in 0..20_000_usize, length in 0..3000_usize, at in 0..3000_usize, junk in "[\\PC\n]{0,12}",
    ) {
        let part: String = FAULTS.chars().skip(from).take(length).collect();
        let (head, tail): (String, String) =
            (part.chars().take(at).collect(), part.chars().skip(at).collect());
        if let Err(problems) = Catalogue::with(&format!("{head}{junk}{tail}")) {
            prop_assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.what.is_empty()));
        }
    }

    #[test]
    fn no_value_makes_the_reader_panic(
        key in prop::sample::select(vec!["fault", "severity", "repeats", "quiet_s", "limits", "limits.gen5", "signals", "code"]),
        value in prop::sample::select(vec!["1e400", "-inf", "nan", "9223372036854775807", "[]", "{}", "[[1]]", "1979-05-27", "true", "\"\""]),
        table in prop::sample::select(vec!["[[fault]]", "[[xid]]", "[fault]", "[[fault.limits]]"]),
    ) {
        let _ = Catalogue::with(&format!("{table}\nfault = \"pcie_replays\"\n{key} = {value}\n"));
        let _ = Catalogue::with(&format!("{table}\ncode = 79\n{key} = {value}\n"));
    }
}
