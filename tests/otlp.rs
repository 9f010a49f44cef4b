//! Pushes of the whole program to a collector on loopback that first has no time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tests::{Agent, eventually};

/// A collector that answers 503 once and then takes what it is sent.
fn collector() -> (SocketAddr, Receiver<ExportMetricsServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, got) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let Some(body) = receive(&stream) else { continue };
            let status = if number == 0 { "503 Busy" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = (&stream).write_all(head.as_bytes());
            if number > 0 && send.send(ExportMetricsServiceRequest::decode(body.as_slice()).unwrap()).is_err()
            {
                return;
            }
        }
    });
    (address, got)
}

/// The body of one request.
fn receive(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut got = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        got.extend_from_slice(&buffer[..read]);
        let Some(end) = got.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
        let length: usize = head.split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
        if got.len() >= end + 4 + length {
            return Some(got.split_off(end + 4));
        }
    }
}

fn powers(request: &ExportMetricsServiceRequest) -> usize {
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    match metrics.iter().find(|metric| metric.name == "hw.power").and_then(|metric| metric.data.as_ref()) {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        _ => 0,
    }
}

#[test]
fn a_busy_collector_gets_every_accelerator_in_the_end_and_once_more_at_the_stop() {
    let (address, got) = collector();
    let endpoint = format!("otlp.endpoint=http://{address}");
    let mut agent = Agent::start(&["--rig", "sim", "--set", &endpoint, "--set", "otlp.interval=1s"], &[]);
    let first = got.recv_timeout(tests::PATIENCE).expect("a push arrives");
    assert_eq!(powers(&first), 8);
    eventually("the push is counted", || {
        agent.metric("wattkeeper_otlp_pushes_total", &["outcome=\"ok\""]).is_some_and(|count| count >= 1.0)
    });
    assert_eq!(agent.metric("wattkeeper_otlp_pushes_total", &["outcome=\"failed\""]), Some(0.0));
    agent.signal(libc::SIGTERM);
    assert!(agent.wait(Duration::from_secs(3)).success());
    let last = got.try_iter().last().expect("the stop pushes once more");
    assert_eq!(powers(&last), 8);
}
