//! Processes on accelerators on a test terminal: which are slowed, by which, and of which nothing can be said.
use super::workloads::crowded;
use super::*;
use model::interference::{Abstention, Basis, Estimate, Judgement, Sharer};
use model::{Resource, Workload, WorkloadKind};

/// What of whom: board, id, name, pod.
type Of = (usize, u32, &'static str, &'static str);

fn add(snapshot: &mut Snapshot, (board, pid, name, pod): Of, judgement: Judgement, culprit: Option<u32>) {
    let device = snapshot.frame.devices.find(DeviceKind::Gpu, &format!("GPU-{board}")).unwrap();
    let named = Workload {
        namespace: "inference".into(),
        pod: pod.into(),
        ..Workload::new(WorkloadKind::Pod, "uid/main")
    };
    let workload = (!pod.is_empty()).then(|| Arc::new(named));
    snapshot.sharers.push(Sharer { device, pid, name: name.into(), workload, judgement, culprit });
}

fn estimate([y, low, high]: [f64; 3], resource: Option<Resource>) -> Judgement {
    Judgement::Estimate(Estimate { y, low, high, basis: Basis::Physics, resource, culprit: None })
}

/// Two boards: on one a training slows a chat, on the other nobody can be judged for sure.
fn shared(mut snapshot: Snapshot) -> Snapshot {
    let memory = estimate([0.71, 0.6, 0.82], Some(Resource::MemoryBandwidth));
    add(&mut snapshot, (0, 7101, "train", ""), estimate([0.97, 0.91, 1.0], None), None);
    add(&mut snapshot, (0, 7001, "python3", "chat-7d9f8b6c5-x2x4q"), memory, Some(7101));
    let compute = estimate([0.52, 0.46, 0.6], Some(Resource::Compute));
    add(&mut snapshot, (0, 7205, "embed", ""), compute, Some(7101));
    let noise = estimate([0.85, 0.7, 0.95], Some(Resource::Pcie));
    add(&mut snapshot, (3, 4_194_303, "", ""), noise, Some(12));
    add(&mut snapshot, (3, 991, "python3", "index-0"), Judgement::Abstained(Abstention::NoProfile), None);
    add(&mut snapshot, (3, 64, "nvtop", ""), Judgement::Abstained(Abstention::Idle), None);
    snapshot
}

fn shown(snapshot: Snapshot, options: Options) -> App {
    let mut app = app(Some(snapshot), options);
    app.on(key(KeyCode::Char('5')));
    app
}

#[test]
fn processes_on_accelerators_look_as_they_were_approved() {
    let mut app = shown(shared(crowded(0)), FULL);
    for (width, height) in [(60, 24), (80, 24), (100, 30), (200, 50)] {
        golden(&format!("sharers-{width}x{height}.txt"), &screen(&app, width, height));
    }
    app.options = PLAIN;
    golden("sharers-plain-80x24.txt", &screen(&app, 80, 24));
    golden("sharers-only-80x24.txt", &screen(&shown(shared(node()), FULL), 80, 24));
}

#[test]
fn without_a_process_on_an_accelerator_there_is_no_table() {
    let text = screen(&shown(crowded(0), FULL), 200, 50);
    assert!(
        text.contains("postgresql") && !text.contains("accelerators 0") && !text.contains("pid"),
        "{text}"
    );
}

#[test]
fn the_slowest_process_comes_first_and_names_the_one_in_its_way_or_why_it_is_silent() {
    let text = screen(&shown(shared(node()), FULL), 200, 50);
    let ids = ["7205", "7001", "4194303", "7101", "64", "991"];
    let rows: Vec<_> = text.lines().skip_while(|line| !line.contains("pid")).skip(1).collect();
    for (row, id) in rows.iter().zip(ids) {
        assert_eq!(row.split_whitespace().nth(1), Some(id), "{text}");
    }
    assert!(rows[0].contains("46-60 %") && rows[0].ends_with("compute, 7101 train"), "{text}");
    assert!(rows[1].contains(" inference/chat-7d9f8b6c5-x2x4q "), "{text}");
    assert!(rows[2].ends_with("PCIe, 12"), "who is not judged has an id only: {text}");
    assert!(rows[5].contains("  – ") && rows[5].ends_with("never seen alone for long enough"), "{text}");
}

#[test]
fn only_a_process_that_is_slowed_for_sure_is_a_warning() {
    let app = shown(shared(node()), FULL);
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let yellow = |y: u16| (0..100).any(|x| buffer[(x, y)].fg == ratatui::style::Color::Yellow);
    let text = screen(&app, 100, 30);
    let warned: Vec<_> =
        (0_u16..).zip(text.lines()).filter(|(y, _)| *y > 4 && yellow(*y)).map(|(_, line)| line).collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("embed") && warned[1].contains("chat"), "{warned:?}");
}

#[test]
fn many_processes_scroll_below_their_own_heading_to_the_last() {
    for base in [crowded(0), node()] {
        let mut snapshot = shared(base);
        for pid in 0..60 {
            let silent = Judgement::Abstained(Abstention::Crowded);
            add(&mut snapshot, (7, 9000 + pid, "swarm", ""), silent, None);
        }
        let mut app = shown(snapshot, FULL);
        assert!(screen(&app, 80, 24).contains("judged, "));
        (0..20).for_each(|_| {
            app.on(key(KeyCode::PageDown));
        });
        let text = screen(&app, 80, 24);
        assert!(text.contains(" 9059 ") && !text.contains(" 9000 ") && !text.contains("cores"), "{text}");
        let heads: Vec<_> = text.lines().filter(|line| line.contains("held up at")).collect();
        assert!(heads.len() == 1 && heads[0].contains("pid"), "{text}");
        assert!(text.contains("on accelerators 4 of 66 processes judged"), "{text}");
    }
}

#[test]
fn the_heading_changes_only_when_the_last_workload_has_left() {
    let mut snapshot = shared(crowded(0));
    for pid in 0..60 {
        add(&mut snapshot, (7, 9000 + pid, "swarm", ""), Judgement::Abstained(Abstention::Crowded), None);
    }
    let mut app = shown(snapshot, FULL);
    // Six workloads, then the four lines above the processes.
    for line in 0..14 {
        let text = screen(&app, 80, 24);
        assert_eq!(text.contains("cores"), line < 10, "scrolled by {line}: {text}");
        assert_eq!(text.contains("cron.service"), line < 6, "scrolled by {line}: {text}");
        assert_eq!(text.contains(" 7205 "), line < 11, "scrolled by {line}: {text}");
        app.on(key(KeyCode::Down));
    }
}
