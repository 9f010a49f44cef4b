//! What the agent costs beside eight fake boards and this host: `cargo build --release --workspace && cargo bench -p tests`.
//!
//! Figures of one run on one machine; quote them with it. The fake library runs inside the agent's process, so its own
//! cost is part of them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints its figures")]
use fake_nvml::Control;
use model::Clock as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use tests::{Agent, fake_library};

/// Scrapes that are timed.
const SCRAPES: usize = 3000;

fn now_s() -> f64 {
    agent::clock::MachineClock.now().mono_ns as f64 / 1e9
}

fn pause(seconds: f64) {
    agent::clock::wait_until(
        agent::clock::MachineClock.now().after(Duration::from_secs_f64(seconds)).mono_ns,
    );
}

fn start(file: &Path, interval: &str) -> Agent {
    let library = format!("collectors.libraries=[\"nvml={}\"]", fake_library().display());
    let interval = format!("beat.interval={interval}");
    let set = [
        "--set",
        &library,
        "--set",
        &interval,
        "--set",
        "power.budget=6500 W",
        "--set",
        "collectors.cgroup.max=128",
    ];
    Agent::start(&set, &[("WATTKEEPER_FAKE_NVML", file)])
}

/// Processor seconds and resident bytes of a process, from procfs.
fn cost(pid: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let own: f64 = stat.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|task| task.unwrap().path().join("schedstat"));
    let all: f64 = tasks
        .filter_map(|path| std::fs::read_to_string(path).ok()?.split(' ').next()?.parse::<f64>().ok())
        .sum::<f64>()
        .max(own);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident =
        status.lines().find(|line| line.starts_with("VmRSS")).and_then(|line| line.split_whitespace().nth(1));
    (all / 1e9, resident.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024)
}

fn scrape(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    buffer.clear();
    let mut chunk = [0_u8; 65536];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        buffer.extend_from_slice(&chunk[..read]);
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
            .unwrap();
        if buffer.len() >= head + 4 + length {
            return length;
        }
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn latency(address: SocketAddr, pause_s: f64, count: usize) -> Vec<f64> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            pause(pause_s);
            let begun = now_s();
            scrape(&mut stream, &mut buffer);
            now_s() - begun
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn main() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    (0..8).for_each(|board| control.load(board, "training").unwrap());
    for (interval, seconds) in [("1s", 60.0), ("100ms", 30.0)] {
        let begun = now_s();
        let agent = start(&file, interval);
        let first_s = now_s() - begun;
        pause(5.0);
        let (before, _) = cost(agent.pid());
        pause(seconds);
        let (after, resident) = cost(agent.pid());
        let page = agent.get("/metrics").text();
        let series = page.lines().filter(|line| !line.starts_with('#')).count();
        println!(
            "beat {interval}: {:.3} % of one core, {:.1} MiB resident, first scrape within {:.0} ms, {series} series",
            100.0 * (after - before) / seconds,
            resident as f64 / 1_048_576.0,
            1e3 * first_s
        );
        let calls = |name| agent.metric(name, &["device=\"nvml\""]).unwrap_or(f64::NAN);
        println!("driver calls: {} on the last beat", calls("wattkeeper_source_driver_calls"));
        if interval == "1s" {
            let steady = latency(agent.address, 0.0005, SCRAPES);
            println!(
                "scrapes of a served snapshot: p50 {:.3} ms, p99 {:.3} ms",
                1e3 * quantile(&steady, 0.5),
                1e3 * quantile(&steady, 0.99)
            );
            let fresh = latency(agent.address, 1.05, 30);
            println!(
                "first scrape of each snapshot: p50 {:.3} ms, max {:.3} ms",
                1e3 * quantile(&fresh, 0.5),
                1e3 * quantile(&fresh, 1.0)
            );
            println!(
                "beats missed meanwhile: {}",
                agent.metric("wattkeeper_agent_beats_missed_total", &[]).unwrap()
            );
        }
    }
}
