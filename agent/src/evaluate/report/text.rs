//! The report as tables: for each data set the means, the alarms at each budget, then every machine.
use super::table::{Table, figure};
use super::{Line, Report};
use crate::evaluate::machine::Dataset;
use crate::evaluate::metrics::{Alarms, Figures};
use crate::evaluate::scorer::{BUDGETS_PER_DAY, DEFAULT_BUDGET};
use std::fmt::Write as _;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for dataset in Dataset::ALL {
        let lines = report.lines(dataset);
        let Some(first) = lines.first() else { continue };
        let (set, machines, mean) = (dataset.as_str().to_uppercase(), first.machines.len(), &first.mean);
        let Figures { segments, days, chance, .. } = mean;
        let step = dataset.step_s();
        let _ = writeln!(
            text,
            "{set}: {machines} machines, {segments} segments in {days:.1} days of test, a sample every {step} s; \
             a score that knows nothing has VUS-PR {}\n",
            figure(*chance, 3)
        );
        let _ = writeln!(text, "{}", ranking(&lines).text());
        let _ = writeln!(text, "{}", alarms(&lines).text());
        let _ = writeln!(text, "{}", machine_by_machine(&lines).text());
    }
    for line in report.left_out() {
        let _ = writeln!(text, "left out: {line}");
    }
    text
}

/// VUS-PR, attribution and cost: means over machines, attribution over segments.
fn ranking(lines: &[Line<'_>]) -> Table {
    let mut table = Table::new(&[
        "ranking, blame and cost",
        "VUS-PR",
        "(coarse)",
        "1st true",
        "hit@100",
        "hit@150",
        "all: 1st",
        "hit@100",
        "hit@150",
        "us/sample",
        "B/sample",
        "KiB held",
    ]);
    for line in lines {
        let mean = &line.mean;
        let blame = mean.attribution.unwrap_or_default();
        let parts =
            [blame.first, blame.hit100, blame.hit150, blame.first_all, blame.hit100_all, blame.hit150_all];
        let mut cells = vec![line.detector.to_owned(), figure(mean.vus_pr, 3), figure(mean.vus_pr_coarse, 3)];
        cells.extend(parts.map(|part| figure(part, 2)));
        cells.push(figure(Some(mean.us_per_sample), 1));
        cells.push(figure(Some(mean.bytes_per_sample), 1));
        cells.push(figure(Some(mean.bytes / 1024.0), 0));
        table.row(cells);
    }
    table
}

/// What alarms find and cost at each budget, with the threshold of the past and with that of hindsight.
fn alarms(lines: &[Line<'_>]) -> Table {
    let mut table = Table::new(&[
        "alarms, mean over machines",
        "budget/day",
        "threshold",
        "recall",
        "random",
        "shifted",
        "false/day",
        "worst",
        "on",
        "delay p50",
        "p95",
    ]);
    for line in lines {
        for (place, budget) in BUDGETS_PER_DAY.iter().enumerate() {
            let mut row = |threshold: &str, alarms: &Alarms| {
                let worst = alarms.worst.as_ref();
                table.row(vec![
                    line.detector.to_owned(),
                    budget.to_string(),
                    threshold.to_owned(),
                    figure(alarms.recall, 3),
                    figure(alarms.recall_random, 3),
                    figure(alarms.recall_shifted, 3),
                    figure(Some(alarms.false_per_day), 2),
                    figure(worst.map(|worst| worst.false_per_day), 2),
                    worst.map_or_else(String::new, |worst| worst.machine.clone()),
                    figure(alarms.delay_median, 0),
                    figure(alarms.delay_p95, 0),
                ]);
            };
            row("past", &line.mean.deployable[place]);
            row("oracle", &line.mean.oracle[place]);
        }
    }
    table
}

/// Every machine: a cell of alarms is recall, a slash, strict false episodes a day.
fn machine_by_machine(lines: &[Line<'_>]) -> Table {
    let heads = |kind: &str| BUDGETS_PER_DAY.map(|budget| format!("{kind} {budget}/day"));
    let (past, oracle) = (heads("past"), heads("oracle"));
    let mut head = vec!["machine by machine", "VUS-PR", "chance"];
    head.extend(past.iter().map(String::as_str));
    head.push("delay");
    head.extend(oracle.iter().map(String::as_str));
    head.push("1st true");
    let mut table = Table::new(&head);
    for line in lines {
        table.gap();
        table.row(vec![line.detector.to_owned()]);
        for (name, figures) in line.machines.iter().copied().chain([("mean", &line.mean)]) {
            let cell = |alarms: &Alarms| format!("{}/{:.2}", figure(alarms.recall, 2), alarms.false_per_day);
            let mut cells = vec![format!("  {name}"), figure(figures.vus_pr, 3), figure(figures.chance, 3)];
            cells.extend(figures.deployable.iter().map(cell));
            cells.push(figure(figures.deployable[DEFAULT_BUDGET].delay_median, 0));
            cells.extend(figures.oracle.iter().map(cell));
            cells.push(figure(figures.attribution.and_then(|blame| blame.first), 2));
            table.row(cells);
        }
    }
    table
}
