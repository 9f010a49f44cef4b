//! Rules over the whole of their tables: each XID by its row, replays by generation and lane.
use super::stage::Stage;
use crate::Catalogue;
use crate::catalogue::Limit;
use model::{FaultKind, Metric, NoticeKind};

#[test]
fn each_xid_has_the_severity_remedy_and_words_of_its_row_and_an_unknown_one_those_of_the_fault() {
    let mut stage = Stage::new();
    let catalogue = Catalogue::built_in();
    assert_eq!(catalogue.xids().len(), 172);
    for code in catalogue.xids().iter().map(|row| row.code).chain([0, 173, 9999]) {
        stage.run(1, |beat| beat.tell(beat.at.gpu, NoticeKind::Xid, code));
        let findings: Vec<_> = stage.sink().findings().iter().collect();
        assert_eq!(findings.len(), 1, "{code}");
        let found = findings[0];
        assert_eq!((found.fault, found.code), (FaultKind::Xid, code));
        let told = (found.severity, found.remedy, found.detail);
        let unknown = catalogue.row(FaultKind::Xid);
        let expected = catalogue.xid(code).map(|row| (row.severity, row.remedy, row.title.as_str()));
        assert_eq!(told, expected.unwrap_or((unknown.severity, unknown.remedy, "")), "{code}");
    }
}

#[test]
fn replays_are_judged_by_generation_and_lanes() {
    let rates = [
        Limit::ReplaysGen1,
        Limit::ReplaysGen2,
        Limit::ReplaysGen3,
        Limit::ReplaysGen4,
        Limit::ReplaysGen5,
        Limit::ReplaysGen6,
    ];
    for (generation, rate) in (1..).zip(rates) {
        for lanes in [1.0, 4.0, 8.0, 16.0_f64] {
            let allowed = (lanes * Catalogue::built_in().limit(rate)).ceil();
            for (count, fault) in [(allowed, false), (allowed + 1.0, true)] {
                let mut stage = Stage::new();
                stage.run(3, |beat| {
                    let replays = if beat.n == 0 { 50.0 } else { 50.0 + count };
                    beat.gpu(&[
                        (Metric::PcieGeneration, f64::from(generation)),
                        (Metric::PcieWidth, lanes),
                        (Metric::PcieReplays, replays),
                    ]);
                });
                let raised = stage.faults().contains(&FaultKind::PcieReplays);
                assert_eq!(raised, fault, "generation {generation}, {lanes} lanes, {count} replays");
            }
        }
    }
}
