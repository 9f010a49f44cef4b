//! Workloads beside each other on a test terminal: who is slowed, by whom, and of whom nothing can be said.
use super::*;
use model::interference::{Abstention, Basis, Culprit, Estimate, Judgement, Vector};
use model::{Interference, Resource};

/// A group's name, processor seconds, and speed with its interval.
type Judged = (&'static str, f64, [f64; 3]);

fn group(snapshot: &mut Snapshot, name: &str, seconds: f64) -> DeviceId {
    let info = DeviceInfo { name: name.into(), ..DeviceInfo::new(DeviceKind::Cgroup, format!("/{name}")) };
    let id = Arc::make_mut(&mut snapshot.frame.devices).register(&Arc::new(info)).unwrap();
    snapshot.frame.put(id, Metric::CgroupCpu, Reading::Value(seconds));
    id
}

fn add(snapshot: &mut Snapshot, device: DeviceId, judgement: Judgement) {
    let (sensitivity, pressure) = (Vector::default(), Vector::default());
    snapshot.interference.push(Interference { device, judgement, sensitivity, pressure, counters: None });
}

/// A node on which a backup slows a database and a search engine, after so many beats of one second.
pub(super) fn crowded(beat: u64) -> Snapshot {
    let mut snapshot = node();
    snapshot.frame.at = at(100 + beat);
    snapshot.vitals.beats = beat;
    let backup = group(&mut snapshot, "backup.service", 40.0 + 0.5 * beat as f64);
    let culprit = Some(Culprit { device: backup, correlation: 0.83 });
    let judged: [Judged; 4] = [
        ("quiet.service", 0.02, [0.98, 0.93, 1.0]),
        ("postgresql.service", 1.25, [0.62, 0.54, 0.71]),
        ("search-engine-with-a-long-name.service", 3.5, [0.77, 0.66, 0.88]),
        ("noisy-estimate.service", 1.0, [0.71, 0.4, 0.97]),
    ];
    for (name, cores, [y, low, high]) in judged {
        let device = group(&mut snapshot, name, 100.0 + cores * beat as f64);
        let resource = match name {
            "postgresql.service" => Some(Resource::Io),
            "search-engine-with-a-long-name.service" => Some(Resource::MemoryBandwidth),
            _ => None,
        };
        let culprit = culprit.filter(|_| resource.is_some());
        let estimate = Estimate { y, low, high, basis: Basis::Model, resource, culprit };
        add(&mut snapshot, device, Judgement::Estimate(estimate));
    }
    add(&mut snapshot, backup, Judgement::Abstained(Abstention::NoProfile));
    let idle = group(&mut snapshot, "cron.service", 1.0);
    add(&mut snapshot, idle, Judgement::Abstained(Abstention::Idle));
    snapshot
}

fn shown(options: Options) -> App {
    let mut app = app(Some(crowded(0)), options);
    app.update(Feed { snapshot: Some(Arc::new(crowded(1))), ..app.feed.clone() });
    app.on(key(KeyCode::Char('5')));
    app
}

#[test]
fn the_workloads_look_as_they_were_approved() {
    let mut app = shown(FULL);
    for (width, height) in [(60, 24), (80, 24), (100, 30), (200, 50)] {
        golden(&format!("workloads-{width}x{height}.txt"), &screen(&app, width, height));
    }
    app.options = PLAIN;
    golden("workloads-plain-80x24.txt", &screen(&app, 80, 24));
    app.options = FULL;
    app.on(key(KeyCode::Char('1')));
    golden("overview-workloads-80x24.txt", &screen(&app, 80, 24));
    golden("overview-workloads-100x30.txt", &screen(&app, 100, 30));
}

#[test]
fn the_worst_comes_first_and_who_is_not_judged_last() {
    let text = screen(&shown(FULL), 100, 30);
    let order = ["postgresql", "noisy-estimate", "search-engine", "quiet", "backup", "cron"];
    let lines: Vec<_> = text.lines().filter(|line| line.contains("service")).collect();
    assert_eq!(lines.len(), order.len());
    assert!(lines.iter().zip(order).all(|(line, name)| line.trim_start().starts_with(name.trim())), "{text}");
}

#[test]
fn only_a_whole_interval_below_the_noise_floor_is_a_warning() {
    let app = shown(FULL);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let yellow = |y: u16| (0..80).any(|x| buffer[(x, y)].fg == ratatui::style::Color::Yellow);
    let text = screen(&app, 80, 24);
    let warned: Vec<_> =
        (0_u16..).zip(text.lines()).filter(|(y, _)| *y > 4 && yellow(*y)).map(|(_, line)| line).collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("postgresql") && warned[1].contains("search"), "{warned:?}");
}

#[test]
fn the_overview_tells_the_worst_and_is_silent_about_what_may_be_noise() {
    let mut app = shown(FULL);
    app.on(key(KeyCode::Char('1')));
    let text = screen(&app, 100, 30);
    assert!(
        text.contains("postgresql.service runs at 62 % of its speed alone: disks, backup.service"),
        "{text}"
    );
    assert!(text.contains("1 more on page 5"), "{text}");
    let mut calm = crowded(2);
    calm.interference.retain(|workload| workload.estimate().is_none_or(|estimate| estimate.high > 0.9));
    app.update(Feed { snapshot: Some(Arc::new(calm)), ..app.feed.clone() });
    assert!(!screen(&app, 100, 30).contains("of its speed alone"));
}

#[test]
fn cores_are_told_from_two_beats_and_not_across_a_restart_of_the_group() {
    let mut app = app(Some(crowded(0)), FULL);
    app.on(key(KeyCode::Char('5')));
    let row = |app: &App| {
        let text = screen(app, 100, 30);
        text.lines().find(|line| line.contains("postgresql")).unwrap_or("").to_owned()
    };
    assert!(row(&app).contains("–  "), "one beat says nothing: {}", row(&app));
    app.update(Feed { snapshot: Some(Arc::new(crowded(2))), ..app.feed.clone() });
    assert!(row(&app).contains(" 1.25 "), "{}", row(&app));
    let mut anew = crowded(3);
    let group = anew.frame.devices.find(DeviceKind::Cgroup, "/postgresql.service").unwrap();
    anew.frame.put(group, Metric::CgroupCpu, Reading::Value(0.5));
    app.update(Feed { snapshot: Some(Arc::new(anew)), ..app.feed.clone() });
    assert!(row(&app).contains("    –"), "a count that fell says nothing: {}", row(&app));
}

#[test]
fn many_workloads_scroll_below_their_heading() {
    let mut snapshot = crowded(0);
    for number in 0..60 {
        let device = group(&mut snapshot, &format!("job-{number:02}.service"), 1.0);
        add(&mut snapshot, device, Judgement::Abstained(Abstention::Crowded));
    }
    let mut app = app(Some(snapshot), FULL);
    app.on(key(KeyCode::Char('5')));
    assert!(screen(&app, 80, 24).contains("4 of 66 workloads judged, 62 without an estimate; 2 below 90 %"));
    (0..20).for_each(|_| {
        app.on(key(KeyCode::PageDown));
    });
    let text = screen(&app, 80, 24);
    assert!(text.contains("job-59") && text.contains("held up at") && !text.contains("postgresql"), "{text}");
}
