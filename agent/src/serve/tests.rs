//! Tests of the server over real sockets on loopback.
use super::*;
use model::{DeviceInfo, DeviceKind, Snapshot, Timestamp};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

fn board(beat_s: f64) -> Arc<Board> {
    let board = Arc::new(Board::new());
    let mut snapshot = Snapshot::default();
    Arc::make_mut(&mut snapshot.node).beat_s = beat_s;
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
    snapshot.frame.begin(Timestamp::default());
    snapshot.signals = policy::scale::signals(&snapshot);
    board.publish(snapshot);
    board
}

fn start(board: Arc<Board>) -> Server {
    Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None, board).unwrap()
}

fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn before_the_first_beat_nothing_is_ready_and_the_process_is_alive() {
    let server = start(Arc::new(Board::new()));
    assert!(ask(&server, "GET /readyz HTTP/1.1").starts_with("HTTP/1.1 503"));
    assert!(ask(&server, "GET /metrics HTTP/1.1").starts_with("HTTP/1.1 503"));
    assert!(ask(&server, "GET /healthz HTTP/1.1").starts_with("HTTP/1.1 200"));
    server.shutdown();
}

#[test]
fn a_signal_is_json_with_a_value_an_unknown_one_404_and_one_without_data_503() {
    let server = start(board(60.0));
    let known = ask(&server, "GET /signal/gpu/devices HTTP/1.1");
    assert!(known.starts_with("HTTP/1.1 200") && known.contains("\"value\":1.0"), "{known}");
    let unknown = ask(&server, "GET /signal/gpu/magic HTTP/1.1");
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("headroom_ratio"), "{unknown}");
    let empty = ask(&server, "GET /signal/gpu/demand_ratio HTTP/1.1");
    assert!(empty.starts_with("HTTP/1.1 503") && !empty.contains("\"value\""), "{empty}");
    server.shutdown();
}

#[test]
fn a_head_of_a_megabyte_is_refused() {
    let server = start(board(60.0));
    let answer = ask(&server, &format!("GET /metrics HTTP/1.1\r\nX: {}", "a".repeat(1 << 20)));
    assert!(!answer.starts_with("HTTP/1.1 200"), "{}", &answer[..answer.len().min(60)]);
    server.shutdown();
}

#[test]
fn connections_past_the_limit_are_closed_and_the_others_go_on() {
    let server = start(board(60.0));
    let mut idle: Vec<_> =
        (0..CONNECTIONS_MAX - 1).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
    assert!(ask(&server, "GET /healthz HTTP/1.1").starts_with("HTTP/1.1 200"));
    idle.push(TcpStream::connect(server.local_addr()).unwrap());
    let refused = ask(&server, "GET /healthz HTTP/1.1");
    assert_eq!(refused, "");
    server.shutdown();
}

#[test]
fn a_taken_address_names_key_and_remedy() {
    let server = start(board(60.0));
    let error = Server::start(server.local_addr(), None, board(60.0)).unwrap_err().to_string();
    assert!(error.contains("is in use") && error.contains("--listen"), "{error}");
    server.shutdown();
}

#[test]
fn a_dead_unix_socket_is_replaced_and_a_live_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::start(any, Some(path.clone()), board(60.0)).unwrap();
    assert!(matches!(Server::start(any, Some(path.clone()), board(60.0)), Err(ServeError::InUse { .. })));
    server.shutdown();
    assert!(!path.exists());
}

#[test]
fn a_question_about_placement_is_answered_refused_and_limited() {
    let server = start(board(60.0));
    let post = |body: &str| {
        let head = format!("POST /v1/interference/predict HTTP/1.1\r\nContent-Length: {}", body.len());
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n{body}");
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let listed = ask(&server, "GET /v1/interference HTTP/1.1");
    assert!(listed.starts_with("HTTP/1.1 200") && listed.contains("\"workloads\":[]"), "{listed}");
    let hog = r#"{"workload": {"sensitivity": {"io": 1}, "pressure": {"io": 1}}}"#;
    // More than other routes take, and not more than this one does.
    let padded = format!("{hog}{}", " ".repeat(60 * 1024));
    let answer = post(&padded);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"y\":1.0"), "{answer}");
    let refused = post("{}");
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("workload: is missing"), "{refused}");
    let unknown = post(r#"{"workload": "/gone"}"#);
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("/gone"), "{unknown}");
    let long = post(&" ".repeat(65 * 1024));
    assert!(long.starts_with("HTTP/1.1 413") && long.contains("65536 bytes at most"), "{long}");
    server.shutdown();
}
