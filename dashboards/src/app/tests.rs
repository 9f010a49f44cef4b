//! Screens on a test terminal: goldens of five states at two sizes, every size without a panic, words for every colour.
use super::*;
use crate::past::Track;
use crossterm::event::{KeyCode, KeyModifiers};
use model::event::{Event, Phase};
use model::incident::{Cause, Confidence, Moment, Proof, Subject, Turn};
use model::snapshot::{Cost, PowerStage, PowerState, Rig, Settled};
use model::{
    Absence, Action, Decision, DeviceId, DeviceInfo, DeviceKind, EventId, Evidence, FaultKind, Incident,
    IncidentId, Metric, Mode, Outcome, Reading, Severity, Timestamp, Verdict, Watts, Why,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

mod mixed;
mod sharers;
mod workloads;

const FULL: Options = Options { colour: true, unicode: true };
const PLAIN: Options = Options { colour: false, unicode: false };

fn at(second: u64) -> Timestamp {
    Timestamp { mono_ns: second * 1_000_000_000, wall_ms: 1_767_225_600_000 + second.cast_signed() * 1000 }
}

/// A node of eight boards with a power budget.
fn node() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let info = Arc::make_mut(&mut snapshot.node);
    (info.host, info.version, info.rig, info.beat_s) = ("node-17".into(), "0.1.0".into(), Rig::Hardware, 1.0);
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let host = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Node, "node-17"))).unwrap();
    let gpu = |n: usize| DeviceInfo {
        name: format!("gpu{n}"),
        model: "NVIDIA H100 80GB HBM3".into(),
        ..DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"))
    };
    let gpus: Vec<DeviceId> = (0..8).map(|n| table.register(&Arc::new(gpu(n))).unwrap()).collect();
    snapshot.frame.begin(at(100));
    for (n, id) in gpus.into_iter().enumerate() {
        let n = n as f64;
        let values = [
            (Metric::Up, 1.0),
            (Metric::Utilization, 0.2 + 0.1 * n),
            (Metric::PowerInstant, 300.0 + 40.0 * n),
            (Metric::PowerLimitEnforced, 700.0),
            (Metric::PowerLimitMax, 700.0),
            (Metric::PowerLimitDefault, 700.0),
            (Metric::PowerLimitMin, 200.0),
            (Metric::Temperature, 50.0 + n),
            (Metric::ClockSm, 1.98e9),
            (Metric::MemoryUsed, 40e9),
            (Metric::MemorySize, 80e9),
        ];
        values.into_iter().for_each(|(metric, value)| snapshot.frame.put(id, metric, Reading::Value(value)));
    }
    let values =
        [(Metric::Load1, 12.5), (Metric::NodeMemorySize, 2e12), (Metric::NodeMemoryAvailable, 1.5e12)];
    values.into_iter().for_each(|(metric, value)| snapshot.frame.put(host, metric, Reading::Value(value)));
    snapshot.power = Some(PowerState {
        budget: Watts(6500.0),
        accelerators: Watts(3520.0),
        rest: Watts(1200.0),
        rest_measured: true,
        counted: Watts(4900.0),
        low: 0.8,
        high: 0.89,
        stage: PowerStage::Free,
        ..PowerState::default()
    });
    snapshot
}

/// The same node under a budget that holds low-priority work down.
fn capped() -> Snapshot {
    let mut snapshot = node();
    snapshot.mode = Mode::Enforce;
    snapshot.vitals.beats = 3600;
    snapshot.priorities = vec![model::Priority::Normal; snapshot.frame.devices.len()];
    let (mut caps, mut costs) = (model::stages::Caps::default(), Vec::new());
    for (number, watts) in [(0, 310.0), (1, 310.0), (2, 350.0)] {
        let device = snapshot.frame.devices.find(DeviceKind::Gpu, &format!("GPU-{number}")).unwrap();
        snapshot.priorities[device.index()] = model::Priority::Low;
        snapshot.frame.put(device, Metric::PowerLimitEnforced, Reading::Value(watts));
        snapshot.frame.put(device, Metric::EventSwPowerCap, Reading::Value(1.0));
        let (limit, at) = (Watts(watts), at(90 + number));
        let (action, why, mode) = (Action::Limit(limit), Why::OverLow, Mode::Enforce);
        let decision = Decision {
            id: number,
            at,
            device,
            action,
            why,
            event: None,
            expires: None,
            keep: model::Keep::Safety,
            mode,
        };
        let (verdict, back) =
            if number == 2 { (Verdict::Failed, Some(700.0)) } else { (Verdict::Applied, Some(watts)) };
        let reason = (number == 2).then_some(model::Reason::Mismatch);
        let outcome =
            Outcome { decision: number, at, verdict, reason, ordered: Some(watts), read_back: back };
        snapshot.decisions.insert(0, Settled { decision, outcome: Some(outcome) });
        if number < 2 {
            caps.power.push(model::stages::Cap {
                device,
                limit,
                original: Watts(700.0),
                since: at,
                keep: model::Keep::Safety,
            });
            costs.push(Cost { device, slowdown: 0.12, saved_j: 9000.0 });
        }
    }
    let high = snapshot.frame.devices.find(DeviceKind::Gpu, "GPU-7").unwrap();
    snapshot.priorities[high.index()] = model::Priority::High;
    if let Some(power) = &mut snapshot.power {
        (power.caps, power.costs) = (caps, costs);
        (power.counted, power.stage) = (Watts(5500.0), PowerStage::Low);
        power.troubles = vec![model::snapshot::PowerTrouble::CapNotHeld];
    }
    snapshot
}

/// The same node when no driver answers: every reading is absent, for different reasons.
fn absent() -> Snapshot {
    let mut snapshot = node();
    let reasons = [Absence::Late, Absence::Denied, Absence::Lost, Absence::Implausible];
    let ids: Vec<_> = snapshot.frame.devices.iter().map(|device| device.id).collect();
    for id in ids {
        let metrics: Vec<_> = snapshot.frame.readings(id).map(|(metric, _)| metric).collect();
        for (number, metric) in metrics.into_iter().enumerate() {
            snapshot.frame.put(id, metric, Reading::Absent(reasons[number % reasons.len()]));
        }
    }
    snapshot.power = None;
    snapshot.sources = vec![model::snapshot::SourceHealth {
        name: "nvml".into(),
        up: false,
        reason: Some(model::Reason::Late),
        message: Some("the library has not answered for 12 s".into()),
        failures: [(model::Reason::Late, 12)].into(),
    }];
    snapshot
}

/// The same node after a board was lost with XID 79, under the brake.
fn troubled() -> Snapshot {
    let mut snapshot = node();
    Arc::make_mut(&mut snapshot.node).rig = Rig::Sim;
    let lost = snapshot.frame.devices.find(DeviceKind::Gpu, "GPU-3").unwrap();
    for metric in
        [Metric::Up, Metric::Utilization, Metric::PowerInstant, Metric::Temperature, Metric::ClockSm]
    {
        snapshot.frame.put(lost, metric, Reading::Absent(Absence::Lost));
    }
    let evidence = Evidence { metric: Metric::XidLastCode, observed: 79.0, expected: 0.0 };
    snapshot.events.push(Event {
        id: EventId(1),
        detector: "xid".into(),
        device: lost,
        fault: FaultKind::Xid,
        code: 79,
        detail: "".into(),
        severity: Severity::Critical,
        remedy: model::Remedy::None,
        phase: Phase::Held,
        since: at(90),
        last: at(91),
        cleared: None,
        count: 2,
        score: 1.0,
        evidence: [Some(evidence), None, None, None],
    });
    snapshot.incidents = vec![lost_board(), hot_board()];
    let device = snapshot.frame.devices.find(DeviceKind::Gpu, "GPU-7").unwrap();
    snapshot.frame.put(device, Metric::EventSwPowerCap, Reading::Value(1.0));
    let (action, why, mode) = (Action::Brake, Why::OverBudget, Mode::Enforce);
    let decision = Decision {
        id: 4,
        at: at(99),
        device,
        action,
        why,
        event: None,
        expires: None,
        keep: model::Keep::Safety,
        mode,
    };
    let watts = Some(200.0);
    let outcome = Outcome {
        decision: 4,
        at: at(99),
        verdict: Verdict::Applied,
        reason: None,
        ordered: watts,
        read_back: watts,
    };
    snapshot.decisions.push(Settled { decision, outcome: Some(outcome) });
    snapshot.mode = Mode::Enforce;
    if let Some(power) = &mut snapshot.power {
        (power.counted, power.stage) = (Watts(6700.0), PowerStage::Brake);
    }
    snapshot
}

/// An incident of one device: severity, number, when, and how the story goes.
fn incident(severity: Severity, board: usize, story: &[(u64, Turn, &str)]) -> Incident {
    let subject = Subject { kind: DeviceKind::Gpu, key: format!("GPU-{board}"), name: format!("gpu{board}") };
    let moment = |&(second, turn, what): &(u64, Turn, &str)| Moment {
        at: at(second),
        turn,
        what: what.into(),
        severity,
        device: Some(0),
        event: EventId(1),
    };
    Incident {
        id: IncidentId(board as u64),
        severity,
        devices: vec![subject],
        cause: Cause {
            fault: FaultKind::Xid,
            code: 79,
            event: EventId(1),
            device: Some(0),
            title: story[0].2.into(),
            sentence: "The GPU fell off the bus: the driver cannot reach it over PCIe any more.".into(),
            confirm:
                "The kernel log names the GPU's PCI address at that time, and lspci shows no device there."
                    .into(),
        },
        confidence: Confidence::Stated,
        remedy: model::Remedy::RebootNode,
        driver_asks: false,
        advice: "Drain the node and reboot it; if the device does not return, have it inspected.".into(),
        since: at(story[0].0),
        last: at(99),
        cleared: None,
        end: None,
        returns: 0,
        timeline: story.iter().map(moment).collect(),
        untold: 0,
        evidence: Vec::new(),
        events: vec![EventId(1)],
    }
}

/// A board that reported XID 79 and was lost.
fn lost_board() -> Arc<Incident> {
    let story =
        [(90, Turn::Seen, "XID error 79"), (91, Turn::Seen, "Device lost"), (97, Turn::Over, "Device lost")];
    let mut lost = incident(Severity::Critical, 3, &story);
    for (fault, metric, observed, expected) in
        [(FaultKind::Xid, Metric::XidLastCode, 79.0, 0.0), (FaultKind::DeviceLost, Metric::Up, 0.0, 1.0)]
    {
        let evidence = Evidence { metric, observed, expected };
        lost.evidence.push(Proof { fault, device: Some(0), evidence });
    }
    Arc::new(lost)
}

/// A board that was hot a while ago, and again.
fn hot_board() -> Arc<Incident> {
    let mut hot = incident(
        Severity::Warning,
        1,
        &[(20, Turn::Seen, "Thermal slowdown"), (60, Turn::Over, "Thermal slowdown")],
    );
    (hot.cleared, hot.end, hot.returns) = (Some(at(60)), Some(model::incident::End::Cleared), 2);
    Arc::new(hot)
}

fn app(snapshot: Option<Snapshot>, options: Options) -> App {
    let mut app = App::new(options);
    app.update(Feed {
        snapshot: snapshot.map(Arc::new),
        note: "attached to http://127.0.0.1:9477".into(),
        ended: false,
    });
    app
}

/// Feeds sixty more beats, on which power, load and heat move; a value that is absent stays absent.
fn remember(app: &mut App) {
    let Some(last) = app.snapshot().cloned() else { return };
    for beat in 0..60 {
        let mut snapshot = Snapshot::clone(&last);
        snapshot.vitals.beats += beat + 1;
        let wave = 1.0 - 0.5 * (60 - beat - 1) as f64 / 60.0 * (1.0 + (beat as f64 / 7.0).sin());
        let ids: Vec<_> = snapshot.frame.devices.accelerators().map(|device| device.id).collect();
        for id in ids {
            for metric in [Metric::PowerInstant, Metric::Utilization, Metric::Temperature] {
                if let Some(value) = snapshot.frame.value(id, metric) {
                    snapshot.frame.put(id, metric, Reading::Value(value * wave));
                }
            }
        }
        if let Some(power) = &mut snapshot.power {
            power.accelerators = Watts(power.accelerators.0 * wave);
        }
        app.update(Feed { snapshot: Some(Arc::new(snapshot)), ..app.feed.clone() });
    }
}

fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
}

/// Compares with a file beside this one; `WATTKEEPER_BLESS=1` writes it anew.
fn golden(name: &str, screen: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app/golden").join(name);
    if std::env::var_os("WATTKEEPER_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, screen).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == screen, "{name} differs; look at it, then WATTKEEPER_BLESS=1:\n{screen}");
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn the_screens_look_as_they_were_approved() {
    let states = [
        ("healthy", Some(node())),
        ("lost", Some(troubled())),
        ("capped", Some(capped())),
        ("absent", Some(absent())),
        ("nothing", None),
    ];
    for (name, snapshot) in states {
        let mut app = app(snapshot, FULL);
        remember(&mut app);
        golden(&format!("overview-{name}-80x24.txt"), &screen(&app, 80, 24));
        golden(&format!("overview-{name}-200x50.txt"), &screen(&app, 200, 50));
        app.options = PLAIN;
        golden(&format!("overview-{name}-plain-80x24.txt"), &screen(&app, 80, 24));
    }
}

#[test]
fn the_other_pages_look_as_they_were_approved() {
    let mut lost = app(Some(troubled()), FULL);
    remember(&mut lost);
    lost.device = 3;
    let mut healthy = app(Some(node()), FULL);
    remember(&mut healthy);
    healthy.on(key(KeyCode::Char('2')));
    golden("device-healthy-80x24.txt", &screen(&healthy, 80, 24));
    let mut capped = app(Some(capped()), FULL);
    for (page, name) in [('2', "device"), ('3', "incidents"), ('8', "help")] {
        lost.on(key(KeyCode::Char(page)));
        golden(&format!("{name}-80x24.txt"), &screen(&lost, 80, 24));
        golden(&format!("{name}-200x50.txt"), &screen(&lost, 200, 50));
    }
    lost.on(key(KeyCode::Char('3')));
    golden("incidents-60x24.txt", &screen(&lost, 60, 24));
    golden("incidents-100x30.txt", &screen(&lost, 100, 30));
    lost.on(key(KeyCode::Enter));
    for (width, height) in [(80, 24), (100, 30), (60, 24)] {
        golden(&format!("incident-{width}x{height}.txt"), &screen(&lost, width, height));
    }
    capped.on(key(KeyCode::Char('4')));
    golden("power-80x24.txt", &screen(&capped, 80, 24));
    golden("power-100x30.txt", &screen(&capped, 100, 30));
    golden("power-60x24.txt", &screen(&capped, 60, 24));
    capped.on(key(KeyCode::Char('6')));
    golden("decisions-80x24.txt", &screen(&capped, 80, 24));
    for (page, name) in [('2', "device-absent"), ('7', "sources")] {
        let mut app = app(Some(absent()), FULL);
        app.on(key(KeyCode::Char(page)));
        golden(&format!("{name}-80x24.txt"), &screen(&app, 80, 24));
    }
}

#[test]
fn no_size_and_no_page_panics() {
    let states = [None, Some(Snapshot::default()), Some(troubled()), Some(capped()), Some(absent())];
    let mut apps: Vec<App> = states.into_iter().map(|snapshot| app(snapshot, FULL)).collect();
    let mut draw = |which: usize, width: u16, height: u16| {
        let count = apps.len();
        let app = &mut apps[which % count];
        let page = char::from_digit((which / count % Page::ALL.len()) as u32 + 1, 10).unwrap();
        app.on(key(KeyCode::Char(page)));
        app.resize(Size::new(width, height));
        app.on(key(KeyCode::PageDown));
        Terminal::new(TestBackend::new(width, height)).unwrap().draw(|frame| app.draw(frame)).unwrap();
    };
    // No page lays out across both directions at once, so each width and each height is drawn beside several of the
    // other, with state and page in turn; and every state and page at every small size, where panics live.
    let heights: Vec<u16> = (1..=10).chain([24, 60]).collect();
    let widths: Vec<u16> = (1..=16).chain([40, 80, 120, 220]).collect();
    let wide = (1..=220).flat_map(|width| heights.iter().map(move |height| (width, *height)));
    let high = (1..=60).flat_map(|height| widths.iter().map(move |width| (*width, height)));
    for (turn, (width, height)) in wide.chain(high).enumerate() {
        draw(turn, width, height);
    }
    for (width, height) in (1..=16).flat_map(|width| (1..=9).map(move |height| (width, height))) {
        (0..40).for_each(|which| draw(which, width, height));
    }
}

#[test]
fn without_colour_and_block_characters_the_words_are_the_same() {
    let words = |text: &str| -> Vec<String> {
        let is_word = |word: &&str| word.len() > 2 && word.chars().all(|c| c.is_ascii_alphanumeric());
        text.split_whitespace().filter(is_word).map(str::to_owned).collect()
    };
    for state in [node(), troubled(), capped(), absent()] {
        let mut app = app(Some(state), FULL);
        for page in '1'..='7' {
            app.on(key(KeyCode::Char(page)));
            (app.options, app.theme) = (FULL, Theme::new(FULL));
            let full = screen(&app, 120, 40);
            (app.options, app.theme) = (PLAIN, Theme::new(PLAIN));
            let plain = screen(&app, 120, 40);
            assert_eq!(words(&full), words(&plain));
            assert!(plain.is_ascii(), "page {page}:\n{plain}");
        }
    }
}

#[test]
fn a_feed_that_stands_still_is_called_old_until_something_new_comes() {
    let mut app = app(Some(node()), FULL);
    app.wait(Duration::from_secs(5));
    assert!(!screen(&app, 80, 24).contains("NO NEWS"));
    app.wait(Duration::from_secs(7));
    app.update(Feed { snapshot: Some(Arc::new(node())), ..Feed::default() });
    assert!(screen(&app, 80, 24).contains("NO NEWS FOR 12 s"), "the same beat again is no news");
    let mut next = node();
    next.vitals.beats += 1;
    app.update(Feed { snapshot: Some(Arc::new(next)), ..Feed::default() });
    assert!(!screen(&app, 80, 24).contains("NO NEWS"));
}

#[test]
fn a_remedy_is_shown_to_its_last_word() {
    let mut app = app(Some(troubled()), FULL);
    app.on(key(KeyCode::Char('3')));
    app.on(key(KeyCode::Enter));
    for width in [60, 80, 200] {
        let words = screen(&app, width, 24).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("if the device does not return, have it inspected."), "{width} columns");
    }
}

#[test]
fn scrolling_ends_with_the_page_and_turns_at_once() {
    let mut app = app(Some(node()), FULL);
    app.on(key(KeyCode::Char('2')));
    let first = screen(&app, 80, 24);
    for _ in 0..50 {
        app.on(key(KeyCode::PageDown));
    }
    let last = screen(&app, 80, 24);
    assert!(last.contains("modes and states") && !last.contains("priority normal"), "{last}");
    let end = app.line;
    app.on(key(KeyCode::Up));
    assert_eq!(app.line, end - 1, "the first key back moves the page");
    for _ in 0..50 {
        app.on(key(KeyCode::PageUp));
    }
    assert_eq!(screen(&app, 80, 24), first);
}

#[test]
fn processor_share_is_what_was_not_idle_between_two_beats() {
    let beat = |beat: u64, user: f64, idle: f64| {
        let mut snapshot = node();
        snapshot.vitals.beats = beat;
        let core = Arc::make_mut(&mut snapshot.frame.devices)
            .register(&Arc::new(DeviceInfo::new(DeviceKind::Core, "0")))
            .unwrap();
        for metric in snapshot.frame.readings(core).map(|(metric, _)| metric).collect::<Vec<_>>() {
            snapshot.frame.put(core, metric, Reading::Value(0.0));
        }
        snapshot.frame.put(core, Metric::CoreUser, Reading::Value(user));
        snapshot.frame.put(core, Metric::CoreGuest, Reading::Value(user));
        snapshot.frame.put(core, Metric::CoreIdle, Reading::Value(idle));
        snapshot
    };
    let mut app = app(Some(beat(1, 10.0, 10.0)), FULL);
    assert!(screen(&app, 80, 24).contains("cpu –"), "one beat says nothing");
    app.update(Feed { snapshot: Some(Arc::new(beat(2, 10.25, 10.75))), ..Feed::default() });
    assert!(screen(&app, 80, 24).contains("cpu 25 %"));
    let mut odd = beat(3, 11.0, 11.0);
    let core = odd.frame.devices.find(DeviceKind::Core, "0").unwrap();
    odd.frame.put(core, Metric::CoreSystem, Reading::Absent(Absence::Late));
    app.update(Feed { snapshot: Some(Arc::new(odd)), ..Feed::default() });
    assert!(screen(&app, 80, 24).contains("cpu –"), "sums of different things say nothing");
    app.update(Feed { snapshot: Some(Arc::new(beat(4, 11.0, 11.0))), ..Feed::default() });
    app.update(Feed { snapshot: Some(Arc::new(beat(5, 0.5, 0.5))), ..Feed::default() });
    assert!(screen(&app, 80, 24).contains("cpu –"), "counters that fell say nothing");
}

#[test]
fn the_bar_marks_both_thresholds_and_the_budget_even_where_it_is_full() {
    for snapshot in [node(), troubled()] {
        let text = screen(&app(Some(snapshot), FULL), 120, 24);
        let line = text.lines().find(|line| line.contains("power   ▕")).unwrap();
        assert_eq!(line.matches('│').count(), 3, "{line}");
    }
}

#[test]
fn what_is_not_known_is_never_shown_as_zero() {
    let text = screen(&app(Some(troubled()), FULL), 120, 30);
    let row = text.lines().find(|line| line.contains("gpu3") && line.contains("faulty")).unwrap();
    assert!(row.contains('–') && !row.contains("0%") && !row.contains("0/700"), "{row}");
}

#[test]
fn a_node_that_does_not_exist_is_called_simulated_on_every_page() {
    let mut app = app(Some(troubled()), PLAIN);
    for page in '1'..='7' {
        app.on(key(KeyCode::Char(page)));
        for (width, height) in [(80, 24), (200, 50), (20, 5), (18, 1)] {
            assert!(screen(&app, width, height).contains("SIMULATED NODE"), "{width}x{height}");
        }
    }
}

#[test]
fn without_colour_no_cell_has_one() {
    let app = app(Some(troubled()), PLAIN);
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    let plain = |cell: &ratatui::buffer::Cell| {
        cell.fg == ratatui::style::Color::Reset && cell.bg == ratatui::style::Color::Reset
    };
    assert!(terminal.backend().buffer().content().iter().all(plain));
}

#[test]
fn keys_select_open_and_leave() {
    let mut app = app(Some(troubled()), FULL);
    for _ in 0..3 {
        app.on(key(KeyCode::Down));
    }
    app.on(key(KeyCode::Enter));
    assert!(screen(&app, 100, 30).contains("GPU-3"));
    assert_eq!(app.on(key(KeyCode::Esc)), Flow::Continue);
    assert_eq!(app.page, Page::Overview);
    assert_eq!(app.on(key(KeyCode::Char('q'))), Flow::Quit);
    app.on(key(KeyCode::Char('3')));
    app.on(key(KeyCode::Down));
    app.on(key(KeyCode::Enter));
    assert!(screen(&app, 100, 30).contains("incident 1, over since"), "from the list to an incident");
    app.on(key(KeyCode::Esc));
    assert_eq!((app.page, app.line), (Page::Incidents, 1), "and back to where it was");
    app.on(key(KeyCode::Up));
    app.on(key(KeyCode::Enter));
    app.on(key(KeyCode::Enter));
    assert_eq!((app.page, app.device), (Page::Device, 3), "from an incident to its device");
}

#[test]
fn the_short_memory_takes_each_beat_once() {
    let mut app = app(Some(node()), FULL);
    for _ in 0..5 {
        app.update(Feed { snapshot: Some(Arc::new(node())), note: String::new(), ended: false });
    }
    assert_eq!(app.past.line("GPU-0", Track::Power, 100), [Some(300.0)]);
}
