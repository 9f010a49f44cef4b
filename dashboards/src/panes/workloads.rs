//! The workloads page: how fast each workload, and each process on an accelerator, is of its speed alone, what it is held up at, and by whom.
use crate::app::App;
use crate::format::{NOTHING, fit};
use model::interference::{Estimate, Judgement, NOISE_FLOOR};
use model::{DeviceId, Interference, Snapshot};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Lines at the top that stay where they are.
pub(super) const HEAD: usize = 4;
/// Below this share of its speed alone a workload is told on the overview.
const TOLD: f64 = 0.8;

/// Widths that follow from the room there is; 0 leaves a column out.
#[derive(Debug, Clone, Copy)]
struct Widths {
    all: usize,
    name: usize,
    bar: usize,
    interval: usize,
}

fn widths(all: usize) -> Widths {
    let (name, bar, interval) = match all {
        0..80 => (16, 6, 0),
        80..100 => (22, 10, 0),
        100..160 => (26, 12, 9),
        _ => (50, 24, 9),
    };
    Widths { all, name, bar, interval }
}

/// The page, as long as it is: the workloads, then the processes on accelerators where there are any.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let [workloads, processes] = tables(app, area);
    [workloads, processes].concat()
}

/// The page scrolled by so many lines below the head of the table that its rows are of.
pub(super) fn from(app: &App, area: Rect, line: usize) -> Vec<Line<'static>> {
    let [mut all, processes] = tables(app, area);
    let above = all.len();
    let head = if line >= above { processes.len().min(HEAD) } else { 0 };
    let head = processes[..head].to_vec();
    all.extend(processes);
    let rows = all.split_off(all.len().min(HEAD));
    if !head.is_empty() {
        all = head;
    }
    all.extend(rows.into_iter().skip(line));
    all
}

/// Both tables, each with [`HEAD`] lines and then one a row, worst first; without a row the first is shorter, the second not there.
fn tables(app: &App, area: Rect) -> [Vec<Line<'static>>; 2] {
    let Some(snapshot) = app.snapshot() else { return [Vec::new(), Vec::new()] };
    let width = usize::from(area.width);
    [workloads(app, snapshot, width), super::sharers::lines(app, snapshot, width)]
}

fn workloads(app: &App, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let widths = widths(width);
    let mut lines =
        vec![Line::raw(""), super::cut(&sentence(&snapshot.interference), widths.all, app.theme.title())];
    if snapshot.interference.is_empty() {
        lines.push(super::cut(
            " control groups are compared with what they were alone; page 7 shows the sources",
            widths.all,
            app.theme.dim(),
        ));
        return lines;
    }
    lines.extend([Line::raw(""), super::cut(&heading(widths), widths.all, app.theme.dim())]);
    lines.extend(worst_first(snapshot).into_iter().map(|workload| row(app, snapshot, workload, widths)));
    lines
}

/// Workloads by how slow they are, then those without an estimate, by name.
fn worst_first(snapshot: &Snapshot) -> Vec<&Interference> {
    let mut list: Vec<_> = snapshot.interference.iter().collect();
    let y = |workload: &Interference| workload.estimate().map_or(f64::INFINITY, |estimate| estimate.y);
    list.sort_by_cached_key(|workload| snapshot.who(workload.device));
    list.sort_by(|a, b| y(a).total_cmp(&y(b)));
    list
}

fn sentence(list: &[Interference]) -> String {
    if list.is_empty() {
        return " no workload is judged".to_owned();
    }
    let judged = list.iter().filter(|workload| workload.estimate().is_some()).count();
    let slowed = list.iter().filter_map(Interference::estimate).filter(|estimate| estimate.slowed()).count();
    let word = if list.len() == 1 { "workload" } else { "workloads" };
    format!(
        " {judged} of {} {word} judged, {} without an estimate; {slowed} below {:.0} % for sure",
        list.len(),
        list.len() - judged,
        100.0 * NOISE_FLOOR
    )
}

fn heading(widths: Widths) -> String {
    let interval =
        if widths.interval > 0 { format!(" {:<w$}", "90 %", w = widths.interval) } else { String::new() };
    format!(
        " {:<name$} {:>5} {:>5}{interval}  {:<bar$}  held up at, by",
        "workload",
        "cores",
        "speed",
        "0-100%",
        name = widths.name,
        bar = widths.bar
    )
}

fn row(app: &App, snapshot: &Snapshot, workload: &Interference, widths: Widths) -> Line<'static> {
    let cores = app.past.cores_of(workload.device).map_or(NOTHING.to_owned(), |cores| format!("{cores:.2}"));
    let left = format!(" {} {cores:>5} ", fit(&snapshot.who(workload.device), widths.name));
    let (middle, why, style) = match &workload.judgement {
        Judgement::Estimate(estimate) => {
            let style = if estimate.slowed() { app.theme.warn() } else { app.theme.accent() };
            let mut why = held_up(snapshot, estimate);
            why.extend(estimate.culprit.map(|culprit| format!(" (r {:.2})", culprit.correlation)));
            (speed(estimate, [widths.interval, widths.bar], app.options.unicode), why, style)
        }
        Judgement::Abstained(why) => {
            // The words need the room of the bar more than it does.
            (format!("{NOTHING:>5}"), why.words().to_owned(), app.theme.dim())
        }
    };
    let why_style = if workload.estimate().is_some() { Style::new() } else { app.theme.dim() };
    joined(widths.all, &left, (&middle, style), (&why, why_style))
}

/// A row: who, how fast, and why, the last cut where there is no room.
pub(super) fn joined(
    all: usize,
    left: &str,
    (middle, style): (&str, Style),
    (why, why_style): (&str, Style),
) -> Line<'static> {
    let room = all.saturating_sub(left.chars().count());
    let why_room = room.saturating_sub(middle.chars().count() + 2);
    Line::from(vec![
        Span::raw(fit(left, left.chars().count().min(all))),
        Span::styled(fit(middle, middle.chars().count().min(room)), style),
        Span::styled(format!("  {}", fit(why, why_room).trim_end()), why_style),
    ])
}

/// The speed as a number and, with its interval, as a bar; a width of 0 leaves that out.
pub(super) fn speed(estimate: &Estimate, [room, bar]: [usize; 2], unicode: bool) -> String {
    let percents = format!("{:.0}-{:.0} %", 100.0 * estimate.low, 100.0 * estimate.high);
    let interval = if room > 0 { format!(" {percents:<room$}") } else { String::new() };
    let bar = if bar > 0 { format!("  {}", span(estimate, bar, unicode)) } else { String::new() };
    let percent = format!("{:.0}%", 100.0 * estimate.y);
    format!("{percent:>5}{interval}{bar}")
}

/// A scale from 0 to 1 with the interval as a line and the estimate on it.
fn span(estimate: &Estimate, width: usize, unicode: bool) -> String {
    let (rest, line, here) = if unicode { ('·', '─', '█') } else { ('.', '-', '#') };
    let cell = |share: f64| ((share.clamp(0.0, 1.0) * width as f64) as usize).min(width.saturating_sub(1));
    let (low, at, high) = (cell(estimate.low), cell(estimate.y), cell(estimate.high));
    let mark = |place: usize| match place {
        _ if place == at => here,
        _ if (low..=high).contains(&place) => line,
        _ => rest,
    };
    (0..width).map(mark).collect()
}

/// At what it is held up and by whom, as far as that is known.
fn held_up(snapshot: &Snapshot, estimate: &Estimate) -> String {
    let resource = estimate.resource.map(|resource| resource.words().to_owned());
    let culprit = estimate.culprit.map(|culprit| snapshot.who(culprit.device));
    [resource, culprit].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The worst workload in one line, where one is so slow that the overview should say so.
pub(super) fn news(app: &App, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
    let told = |estimate: &Estimate| estimate.y < TOLD && estimate.slowed();
    let slow: Vec<(DeviceId, &Estimate)> = worst_first(snapshot)
        .into_iter()
        .filter_map(|workload| Some((workload.device, workload.estimate()?)))
        .filter(|(_, estimate)| told(estimate))
        .collect();
    let (device, estimate) = slow.first()?;
    let why = held_up(snapshot, estimate);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let more = if slow.len() > 1 { format!("; {} more on page 5", slow.len() - 1) } else { String::new() };
    let text = format!(
        " {} runs at {:.0} % of its speed alone{why}{more}",
        snapshot.who(*device),
        100.0 * estimate.y
    );
    Some(super::cut(&text, width, app.theme.warn()))
}
