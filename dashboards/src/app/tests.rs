//! Screens on a test terminal: goldens at two sizes, every size without a panic, and words for every colour.
use super::*;
use crossterm::event::{KeyCode, KeyModifiers};
use model::event::{Event, Phase};
use model::snapshot::{PowerStage, PowerState, Rig, Settled};
use model::{
    Absence, Action, Decision, DeviceId, DeviceInfo, DeviceKind, EventId, Evidence, FaultKind, Metric, Mode,
    Outcome, Reading, Severity, Timestamp, Verdict, Watts, Why,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

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
        over_budget_seconds: 0.0,
        troubles: Vec::new(),
    });
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
        severity: Severity::Critical,
        phase: Phase::Held,
        since: at(90),
        last: at(91),
        cleared: None,
        count: 2,
        score: 1.0,
        evidence: [Some(evidence), None, None, None],
    });
    let device = snapshot.frame.devices.find(DeviceKind::Gpu, "GPU-7").unwrap();
    snapshot.frame.put(device, Metric::EventSwPowerCap, Reading::Value(1.0));
    let (action, why, mode) = (Action::Brake, Why::OverBudget, Mode::Enforce);
    let decision = Decision { id: 4, at: at(99), device, action, why, event: None, expires: None, mode };
    let watts = Some(Watts(200.0));
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

fn app(snapshot: Option<Snapshot>, options: Options) -> App {
    let mut app = App::new(options);
    app.update(Feed {
        snapshot: snapshot.map(Arc::new),
        note: "attached to http://127.0.0.1:9477".into(),
        ended: false,
    });
    app
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
    golden("overview-80x24.txt", &screen(&app(Some(node()), FULL), 80, 24));
    golden("overview-200x50.txt", &screen(&app(Some(troubled()), FULL), 200, 50));
    golden("overview-plain-80x24.txt", &screen(&app(Some(troubled()), PLAIN), 80, 24));
    golden("nothing-80x24.txt", &screen(&app(None, FULL), 80, 24));
    let mut app = app(Some(troubled()), FULL);
    for (digit, name) in [('2', "device"), ('3', "events"), ('4', "decisions"), ('6', "help")] {
        app.on(key(KeyCode::Char(digit)));
        golden(&format!("{name}-80x24.txt"), &screen(&app, 80, 24));
    }
}

#[test]
fn no_size_and_no_page_panics() {
    for snapshot in [None, Some(Snapshot::default()), Some(troubled())] {
        let mut app = app(snapshot, FULL);
        for page in '1'..='6' {
            app.on(key(KeyCode::Char(page)));
            for (width, height) in
                (1..=220).step_by(13).flat_map(|width| (1..=60).step_by(9).map(move |height| (width, height)))
            {
                screen(&app, width, height);
            }
        }
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
    for page in '1'..='6' {
        app.on(key(KeyCode::Char(page)));
        assert!(screen(&app, 80, 24).contains("SIMULATED NODE"));
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
    app.on(key(KeyCode::Enter));
    assert_eq!((app.page, app.device), (Page::Device, 3), "from an event to its device");
}

#[test]
fn the_short_memory_takes_each_beat_once() {
    let mut app = app(Some(node()), FULL);
    for _ in 0..5 {
        app.update(Feed { snapshot: Some(Arc::new(node())), note: String::new(), ended: false });
    }
    assert_eq!(app.past.line("GPU-0", 100), [Some(300.0)]);
}
