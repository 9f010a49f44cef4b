//! Tables of what belongs to one accelerator: who uses it, processes, partitions, links.
use crate::app::App;
use crate::format::{NOTHING, fit, value};
use model::{Device, DeviceId, DeviceKind, Metric, Share, Snapshot, Unit, Workload};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Width of one link in the grid of links.
const LINK: usize = 39;

/// The metrics that count errors of a link.
const LINK_ERRORS: &[Metric] = &[
    Metric::LinkCrcFlit,
    Metric::LinkCrcData,
    Metric::LinkReplay,
    Metric::LinkRecovery,
    Metric::LinkEcc,
    Metric::LinkSymbol,
    Metric::LinkMalformed,
    Metric::LinkOverrun,
    Metric::LinkRemote,
    Metric::LinkLocal,
    Metric::LinkIntegrity,
    Metric::LinkDowned,
];

/// All tables that have a row.
pub(super) fn lines(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let tables = [
        users(app, snapshot, device, width),
        processes(app, snapshot, device, width),
        partitions(app, snapshot, device, width),
        links(app, snapshot, device, width),
    ];
    let with_space = |table: Vec<Line<'static>>| [vec![Line::raw("")], table].concat();
    tables.into_iter().filter(|table| !table.is_empty()).flat_map(with_space).collect()
}

/// The parts of a device, of one kind, by name.
pub(super) fn of<'a>(snapshot: &'a Snapshot, device: &Device, kind: DeviceKind) -> Vec<&'a Device> {
    let (table, key) = (&snapshot.frame.devices, device.info.key.clone());
    let mut parts: Vec<_> = table.of_kind(kind).filter(|part| part.info.parent == key).collect();
    parts.sort_by_key(|part| by_number(&part.info.name));
    parts
}

/// Orders `nvlink10` behind `nvlink9`.
pub(super) fn by_number(name: &str) -> (String, Vec<u32>) {
    let words = name.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    (name.chars().take_while(|c| !c.is_ascii_digit()).collect(), words.collect())
}

/// The name of a part without that of its whole.
pub(super) fn short<'a>(snapshot: &'a Snapshot, part: &'a Device) -> &'a str {
    let whole = snapshot.frame.devices.get(snapshot.frame.devices.whole(part.id));
    let name = part.info.name.strip_prefix(&whole.info.name).unwrap_or("");
    let name = name.trim_start_matches(['/', '-', '.', ':', '_', ' ']);
    if name.is_empty() { &part.info.name } else { name }
}

/// Who a workload is, for people.
pub(super) fn who(workload: Option<&Workload>) -> String {
    let Some(workload) = workload else { return "nobody known".to_owned() };
    match (workload.namespace.as_str(), workload.pod.as_str()) {
        (_, "") => workload.name.clone(),
        ("", pod) => pod.to_owned(),
        (namespace, pod) => format!("{namespace}/{pod}"),
    }
}

/// What workloads have of a device, the most watts first, what nobody can be held to last.
pub(super) fn shares(snapshot: &Snapshot, device: DeviceId) -> Vec<&Share> {
    let mut shares: Vec<_> = snapshot.shares.iter().filter(|share| share.device == device).collect();
    let watts = |share: &Share| share.power.map_or(0.0, |power| power.0);
    shares.sort_by(|a, b| {
        let known = b.workload.is_some().cmp(&a.workload.is_some());
        known.then(watts(b).total_cmp(&watts(a))).then_with(|| a.workload.cmp(&b.workload))
    });
    shares
}

fn or_nothing(number: Option<f64>, unit: Unit) -> String {
    number.map_or(NOTHING.to_owned(), |number| value(number, unit))
}

fn users(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let mine = shares(snapshot, device.id);
    if mine.is_empty() {
        return Vec::new();
    }
    let name = width.saturating_sub(48).clamp(16, 60);
    let heading = format!(
        " {:<head$} {:>8} {:>7} {:>10} {:>10} {:>5}",
        "used by",
        "power",
        "busy",
        "memory",
        "energy",
        "procs",
        head = name + 2
    );
    let mut lines = vec![super::cut(&heading, width, app.theme.title())];
    for share in mine {
        let text = format!(
            "   {} {:>8} {:>7} {:>10} {:>10} {:>5}",
            fit(&who(share.workload.as_deref()), name),
            or_nothing(share.power.map(|power| power.0), Unit::Watts),
            or_nothing(share.utilization, Unit::Ratio),
            or_nothing(share.memory_bytes.map(|bytes| bytes as f64), Unit::Bytes),
            value(share.energy_j, Unit::Joules),
            share.processes
        );
        let style = if share.workload.is_some() { Style::new() } else { app.theme.dim() };
        lines.push(super::cut(&text, width, style));
    }
    lines
}

/// Processes on the device and on its parts.
fn processes(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let table = &snapshot.frame.devices;
    let on_it = |part: DeviceId| table.whole(part) == device.id;
    let mut mine: Vec<_> = snapshot.frame.processes.iter().filter(|p| on_it(p.device)).collect();
    if mine.is_empty() {
        return Vec::new();
    }
    mine.sort_by_key(|process| (by_number(&table.get(process.device).info.name), process.pid));
    let heading = format!(" {:<18} {:>9} {:>10} {:>7}  {}", "processes", "pid", "memory", "busy", "workload");
    let mut lines = vec![super::cut(&heading, width, app.theme.title())];
    for process in mine {
        let part = table.get(process.device);
        let place = if part.id == device.id { String::new() } else { format!("{}  ", short(snapshot, part)) };
        let text = format!(
            "   {} {:>9} {:>10} {:>7}  {place}{}",
            fit(if process.name.is_empty() { NOTHING } else { &process.name }, 16),
            process.pid,
            or_nothing(process.memory_bytes.map(|bytes| bytes as f64), Unit::Bytes),
            or_nothing(process.utilization, Unit::Ratio),
            process.workload.as_deref().map_or(NOTHING.to_owned(), |workload| who(Some(workload))),
        );
        lines.push(super::cut(&text, width, Style::new()));
    }
    lines
}

fn partitions(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let parts = of(snapshot, device, DeviceKind::Partition);
    if parts.is_empty() {
        return Vec::new();
    }
    let heading =
        format!(" {:<16} {:<24} {:>6} {:>19} {:>6}", "partitions", "profile", "busy", "memory", "procs");
    let mut lines = vec![super::cut(&heading, width, app.theme.title())];
    for part in parts {
        let get = |metric| snapshot.frame.value(part.id, metric);
        let memory = get(Metric::MemoryUsed).zip(get(Metric::MemorySize));
        let memory =
            memory.map(|(used, size)| format!("{} / {}", value(used, Unit::Bytes), value(size, Unit::Bytes)));
        let profile = part.info.attributes.get("profile").unwrap_or(&part.info.model);
        let text = format!(
            "   {} {} {:>6} {:>19} {:>6}",
            fit(short(snapshot, part), 14),
            fit(profile, 24),
            or_nothing(get(Metric::Utilization), Unit::Ratio),
            memory.unwrap_or_else(|| NOTHING.to_owned()),
            or_nothing(get(Metric::Processes), Unit::Count),
        );
        lines.push(super::cut(&text, width, Style::new()));
    }
    lines
}

fn links(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let all = of(snapshot, device, DeviceKind::Link);
    if all.is_empty() {
        return Vec::new();
    }
    let state = |link: &Device| snapshot.frame.flag(link.id, Metric::LinkUp);
    let count = |wanted: Option<bool>| all.iter().filter(|link| state(link) == wanted).count();
    let mut parts = vec![format!("{} up", count(Some(true)))];
    parts.extend([(Some(false), "down"), (None, "unknown")].into_iter().filter_map(|(state, word)| {
        let number = count(state);
        (number > 0).then(|| format!("{number} {word}"))
    }));
    let head = format!(" links   {} of {}", parts.join(", "), all.len());
    let mut lines = vec![super::cut(&head, width, app.theme.title())];
    for row in all.chunks((width / LINK).max(1)) {
        let cells = row.iter().flat_map(|link| cell(app, snapshot, link, state(link)));
        lines.push(Line::from(cells.collect::<Vec<_>>()));
    }
    lines
}

/// Name, state, speed and errors of one link.
fn cell(app: &App, snapshot: &Snapshot, link: &Device, up: Option<bool>) -> [Span<'static>; 3] {
    let get = |metric: &Metric| snapshot.frame.value(link.id, *metric);
    let known: Vec<f64> = LINK_ERRORS.iter().filter_map(get).collect();
    let errors: f64 = known.iter().sum();
    let (text, warn) = match errors {
        _ if known.is_empty() => (format!("{NOTHING} errors"), false),
        1.0 => ("1 error".to_owned(), true),
        _ => (format!("{} errors", value(errors, Unit::Count)), errors > 0.0),
    };
    let (word, style) = match up {
        Some(true) => ("up", app.theme.good()),
        Some(false) => ("down", app.theme.bad()),
        None => (NOTHING, app.theme.warn()),
    };
    let name = short(snapshot, link);
    let speed = or_nothing(get(&Metric::LinkSpeed), Unit::BytesPerSecond);
    [
        Span::raw(format!("   {} ", fit(name, 9))),
        Span::styled(format!("{word:<4}"), style),
        Span::styled(format!(" {speed:>9} {text:>11}"), if warn { app.theme.warn() } else { Style::new() }),
    ]
}
