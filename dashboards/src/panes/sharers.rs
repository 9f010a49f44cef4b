//! Processes on accelerators, on the workloads page: how fast each is of its speed alone, what it is held up at, and by which other.
use super::workloads::{joined, speed};
use crate::app::App;
use crate::format::{NOTHING, fit};
use model::Snapshot;
use model::interference::{Judgement, NOISE_FLOOR, Sharer};
use ratatui::style::Style;
use ratatui::text::Line;

/// Widths that follow from the room there is; 0 leaves a column out.
#[derive(Debug, Clone, Copy)]
struct Widths {
    all: usize,
    device: usize,
    /// The process, which is called by its pod where there is no column for what it is part of.
    name: usize,
    workload: usize,
    interval: usize,
    bar: usize,
}

fn widths(all: usize) -> Widths {
    let (device, name, workload, interval, bar) = match all {
        0..80 => (6, 12, 0, 0, 0),
        80..100 => (6, 18, 0, 9, 0),
        100..160 => (8, 14, 20, 9, 0),
        _ => (12, 16, 48, 9, 24),
    };
    Widths { all, device, name, workload, interval, bar }
}

/// The table as the page of workloads has them: four lines of head, then one a process, worst first. Nothing where there is none.
pub(super) fn lines(app: &App, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    if snapshot.sharers.is_empty() {
        return Vec::new();
    }
    let widths = widths(width);
    let mut lines = vec![
        Line::raw(""),
        super::cut(&sentence(&snapshot.sharers), width, app.theme.title()),
        Line::raw(""),
        super::cut(&heading(widths), width, app.theme.dim()),
    ];
    lines.extend(worst_first(snapshot).into_iter().map(|sharer| row(app, snapshot, sharer, widths)));
    lines
}

fn device<'a>(snapshot: &'a Snapshot, sharer: &Sharer) -> &'a str {
    &snapshot.frame.devices.get(sharer.device).info.name
}

/// Processes by how slow they are, then those without an estimate, by accelerator and id.
fn worst_first(snapshot: &Snapshot) -> Vec<&Sharer> {
    let mut list: Vec<_> = snapshot.sharers.iter().collect();
    let y = |sharer: &Sharer| sharer.estimate().map_or(f64::INFINITY, |estimate| estimate.y);
    list.sort_by_cached_key(|sharer| (super::parts::by_number(device(snapshot, sharer)), sharer.pid));
    list.sort_by(|a, b| y(a).total_cmp(&y(b)));
    list
}

fn sentence(list: &[Sharer]) -> String {
    let judged = list.iter().filter_map(Sharer::estimate).count();
    let slowed = list.iter().filter_map(Sharer::estimate).filter(|estimate| estimate.slowed()).count();
    format!(
        " on accelerators {judged} of {} {} judged, {} not; {slowed} below {:.0} % for sure",
        list.len(),
        if list.len() == 1 { "process" } else { "processes" },
        list.len() - judged,
        100.0 * NOISE_FLOOR
    )
}

/// Text of a column with the space before it; nothing where the column is left out.
fn column(text: &str, width: usize) -> String {
    if width > 0 { format!(" {}", fit(text, width)) } else { String::new() }
}

fn heading(widths: Widths) -> String {
    let bar = if widths.bar > 0 { format!(" {}", column("0-100%", widths.bar)) } else { String::new() };
    format!(
        "{} {:>7}{}{} {:>5}{}{bar}  held up at, by",
        column("device", widths.device),
        "pid",
        column("process", widths.name),
        column("workload", widths.workload),
        "speed",
        column("90 %", widths.interval),
    )
}

fn row(app: &App, snapshot: &Snapshot, sharer: &Sharer, widths: Widths) -> Line<'static> {
    let name = if widths.workload > 0 { sharer.name.to_string() } else { sharer.who() };
    let workload = sharer.workload.as_deref().map(|workload| super::parts::who(Some(workload)));
    let left = format!(
        "{} {:>7}{}{} ",
        column(device(snapshot, sharer), widths.device),
        sharer.pid,
        column(if name.is_empty() { NOTHING } else { &name }, widths.name),
        column(workload.as_deref().unwrap_or(NOTHING), widths.workload),
    );
    match &sharer.judgement {
        Judgement::Estimate(estimate) => {
            let style = if estimate.slowed() { app.theme.warn() } else { app.theme.accent() };
            let middle = speed(estimate, [widths.interval, widths.bar], app.options.unicode);
            let resource = estimate.resource.map(|resource| resource.words().to_owned());
            let why = [resource, culprit(snapshot, sharer)].into_iter().flatten().collect::<Vec<_>>();
            joined(widths.all, &left, (&middle, style), (&why.join(", "), Style::new()))
        }
        Judgement::Abstained(why) => {
            let dim = app.theme.dim();
            joined(widths.all, &left, (&format!("{NOTHING:>5}"), dim), (why.words(), dim))
        }
    }
}

/// The id of the one in its way, and who that is where it is judged too.
fn culprit(snapshot: &Snapshot, sharer: &Sharer) -> Option<String> {
    let (pid, other) = snapshot.in_the_way_of(sharer)?;
    let name = other.map(Sharer::who).unwrap_or_default();
    Some(format!("{pid} {name}").trim_end().to_owned())
}
