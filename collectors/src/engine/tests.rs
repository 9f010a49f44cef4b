//! Tests of engines over real sockets: pages of every dialect, and answers that are junk, slow, huge or cut short.
use super::*;
use model::{Absence, Metric, Reading};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

/// A server that gives each connection to the next of its scripts and ends with them.
struct Server {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

type Script = Box<dyn FnOnce(TcpStream) + Send>;

impl Server {
    fn new(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                read_request(&mut stream);
                script(stream);
            }
        });
        Self { address, thread: Some(thread) }
    }

    fn engine(&self, interval: Duration) -> Engine {
        let target = Target { address: self.address, ..Target::default() };
        let target = Target { devices: vec!["gpu0".into(), "gpu1".into()], ..target };
        Engine::new("engine0".into(), &target, interval)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

fn read_request(stream: &mut TcpStream) {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
}

/// Says these bytes and closes.
fn say(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes = bytes.into();
    // A reader that has seen enough closes first.
    Box::new(move |mut stream| drop(stream.write_all(&bytes)))
}

/// Says these bytes and then nothing until the reader gives up.
fn say_and_hang(bytes: &'static [u8]) -> Script {
    Box::new(move |mut stream| {
        stream.write_all(bytes).unwrap();
        let _ = stream.read(&mut [0]);
    })
}

fn ok(body: &str) -> Script {
    say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn vllm(prompt: &str, generated: &str) -> String {
    let labels = |engine: u8| format!(r#"{{engine="{engine}",model_name="meta/Llama \"3\" {{x}}"}}"#);
    let (a, b) = (labels(0), labels(1));
    format!(
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n\
         # TYPE vllm:num_requests_running gauge\n\
         vllm:num_requests_running{a} 3.0\nvllm:num_requests_running{b} 2.0\n\
         vllm:num_requests_waiting{a} 0.0\nvllm:prompt_tokens_total{a} {prompt}\n\
         vllm:prompt_tokens_created{a} 1.7e+09\nvllm:generation_tokens_total{a} {generated} 1700000000000\n\
         vllm:generation_tokens_total{b} 1e3\r\nvllm:iteration_tokens_total_sum{a} 9.0\n\
         python_gc_objects_collected_total{{generation=\"0\"}} 5.0\n"
    )
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(seconds))
}

const EVERY_TIME: Duration = Duration::ZERO;

fn value(batch: &Batch, metric: Metric) -> Option<Reading> {
    let (slot, _) = batch.devices().next()?;
    batch.reading(slot, metric)
}

/// Reads once and gives the reason why that failed.
fn reason(scripts: Vec<Script>) -> Option<Reason> {
    let server = Server::new(scripts);
    let mut batch = Batch::default();
    let error = server.engine(EVERY_TIME).collect(at(0), &mut batch).err();
    assert!(batch.readings().is_empty() || error.is_none());
    assert_eq!(batch.devices().count(), 1, "an engine that fails is there all the same");
    error.map(|error| error.reason)
}

#[test]
fn counts_of_every_replica_add_up_and_the_model_is_named() {
    let server = Server::new(vec![ok(&vllm("100.0", "5e2"))]);
    let mut batch = Batch::default();
    server.engine(EVERY_TIME).collect(at(0), &mut batch).unwrap();
    for (metric, expected) in [
        (Metric::EngineTokensPrompt, 100.0),
        (Metric::EngineTokensGenerated, 1500.0),
        (Metric::EngineRequestsRunning, 5.0),
        (Metric::EngineRequestsWaiting, 0.0),
    ] {
        assert_eq!(value(&batch, metric), Some(Reading::Value(expected)), "{metric}");
    }
    let (_, info) = batch.devices().next().unwrap();
    assert_eq!((info.name.as_str(), info.model.as_str()), ("engine0", r#"meta/Llama \"3\" {x}"#));
    assert_eq!(info.attributes["engine"], "vllm");
    assert_eq!(info.attributes["devices"], "gpu0,gpu1");
}

const COUNTED: [Metric; 6] = [
    Metric::EngineTokensPrompt,
    Metric::EngineTokensGenerated,
    Metric::EngineRequestsRunning,
    Metric::EngineRequestsWaiting,
    Metric::EngineStepTime,
    Metric::EngineSteps,
];

#[test]
fn a_histogram_of_the_operators_own_is_read_alone_or_in_place_of_the_engines() {
    let own = "http_seconds_bucket{le=\"1\"} 4\nhttp_seconds_sum{path=\"/a\"} 2.5\nhttp_seconds_sum{path=\"/b\"} 0.5\n\
               http_seconds_count{path=\"/a\"} 7\nhttp_seconds_count{path=\"/b\"} 3\n";
    let vllm = "vllm:generation_tokens_total 5\nvllm:inter_token_latency_seconds_sum 9\n\
                vllm:inter_token_latency_seconds_count 90\n";
    for (page, generated, engine) in [(own.to_owned(), None, ""), (format!("{vllm}{own}"), Some(5.0), "vllm")]
    {
        let server = Server::new(vec![ok(&page)]);
        let target =
            Target { address: server.address, histogram: Some("http_seconds".into()), ..Target::default() };
        let target = Target { group: Some("web.service".into()), ..target };
        let mut batch = Batch::default();
        Engine::new("engine0".into(), &target, EVERY_TIME).collect(at(0), &mut batch).unwrap();
        let found = COUNTED.map(|metric| value(&batch, metric)?.value());
        assert_eq!(found, [None, generated, None, None, Some(3.0), Some(10.0)], "{page}");
        let (_, info) = batch.devices().next().unwrap();
        assert_eq!(info.attributes["group"], "web.service");
        assert_eq!(info.attributes.get("engine").map_or("", String::as_str), engine);
    }
}

#[test]
fn every_dialect_is_understood_and_only_the_first_rank_counts() {
    for (page, expected) in [
        (
            "sglang:prompt_tokens_total{model_name=\"m\"} 8\nsglang:generation_tokens_total{model_name=\"m\"} 7\n\
             sglang:num_running_reqs{tp_rank=\"0\", pp_rank=\"0\",} 4\nsglang:num_running_reqs{tp_rank=\"1\",pp_rank=\"0\"} 4\n\
             sglang:num_queue_reqs{tp_rank=\"0\"} 1\n\
             sglang:inter_token_latency_seconds_bucket{le=\"0.1\"} 9\nsglang:inter_token_latency_seconds_sum{a=\"b\"} 0.5\n\
             sglang:inter_token_latency_seconds_count 40\n",
            [Some(8.0), Some(7.0), Some(4.0), Some(1.0), Some(0.5), Some(40.0)],
        ),
        (
            "tgi_request_generated_tokens_bucket{le=\"1\"} 4\ntgi_request_generated_tokens_sum 70\n\
             tgi_request_input_length_sum 60\ntgi_batch_current_size 2\ntgi_queue_size 0\n",
            [Some(60.0), Some(70.0), Some(2.0), Some(0.0), None, None],
        ),
        (
            "llamacpp:prompt_tokens_total 3\nllamacpp:tokens_predicted_total 4\nvllm:num_requests_waiting 9\n",
            [Some(3.0), Some(4.0), None, None, None, None],
        ),
    ] {
        let server = Server::new(vec![ok(page)]);
        let mut batch = Batch::default();
        server.engine(EVERY_TIME).collect(at(0), &mut batch).unwrap();
        let found = COUNTED.map(|metric| value(&batch, metric)?.value());
        assert_eq!(found, expected, "{page}");
    }
}

#[test]
fn a_page_in_chunks_is_the_page_whatever_the_cuts() {
    let page = vllm("1", "2");
    for size in [1, 7, 4096] {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in page.as_bytes().chunks(size) {
            answer.extend_from_slice(format!("{:x};name=value\r\n", chunk.len()).as_bytes());
            answer.extend_from_slice(chunk);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        // In pieces too, so that lines and chunks are torn apart.
        let pieces: Script = Box::new(move |mut stream| {
            stream.set_nodelay(true).unwrap();
            answer.chunks(5).for_each(|piece| drop(stream.write_all(piece)));
        });
        let server = Server::new(vec![pieces]);
        let mut batch = Batch::default();
        server.engine(EVERY_TIME).collect(at(0), &mut batch).unwrap();
        assert_eq!(value(&batch, Metric::EngineTokensGenerated), Some(Reading::Value(1002.0)), "{size}");
    }
}

#[test]
fn answers_that_are_no_page_have_a_reason_and_no_readings() {
    let long = "x".repeat(20_000);
    for (answer, expected) in [
        ("", Reason::Io),
        ("SSH-2.0-OpenSSH_9.6\r\n", Reason::Malformed),
        ("HTTP/1.1 OK\r\n\r\n", Reason::Malformed),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Reason::Missing),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", Reason::Denied),
        ("HTTP/1.1 307 Temporary Redirect\r\nLocation: /metrics/\r\n\r\n", Reason::Io),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nvllm:prompt_tokens_total 1\n", Reason::Io),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Reason::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n", Reason::Full),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\u{1f}", Reason::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Reason::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", Reason::Full),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", Reason::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabcd", Reason::Io),
        ("HTTP/1.1 200 OK\r\n\r\n<html>hello</html>\n{}{}\"\u{0}\n", Reason::Unsupported),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Reason::Unsupported),
    ] {
        assert_eq!(reason(vec![say(answer)]), Some(expected), "{answer:?}");
    }
    assert_eq!(reason(vec![say(format!("HTTP/1.1 200 OK\r\nx: {long}"))]), Some(Reason::Full));
}

#[test]
fn an_engine_that_is_not_there_is_missing_and_one_that_hangs_is_late() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = Target { address: free, ..Target::default() };
    let mut gone = Engine::new("engine0".into(), &target, EVERY_TIME);
    assert_eq!(gone.collect(at(0), &mut Batch::default()).unwrap_err().reason, Reason::Missing);
    assert_eq!(reason(vec![say_and_hang(b"")]), Some(Reason::Late));
    assert_eq!(
        reason(vec![say_and_hang(b"HTTP/1.1 200 OK\r\n\r\nvllm:prompt_tokens_total 1\n")]),
        Some(Reason::Late)
    );
}

#[test]
fn a_byte_now_and_then_does_not_stretch_the_deadline() {
    let drip: Script = Box::new(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // Until the reader closes; far longer than the deadline otherwise.
        for _ in 0..4000 {
            let closed = matches!(stream.read(&mut [0]), Ok(0));
            if closed || stream.write_all(b"#").is_err() {
                return;
            }
        }
        panic!("the reader waits for ever");
    });
    assert_eq!(reason(vec![drip]), Some(Reason::Late));
}

#[test]
fn a_page_without_an_end_stops_at_the_limit() {
    let flood: Script = Box::new(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let line = "# HELP nothing at all\n".repeat(1000);
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    assert_eq!(reason(vec![flood]), Some(Reason::Full));
    let many = "vllm:num_requests_running{engine=\"7\"} 1\n".repeat(page::SERIES_MAX + 1);
    assert_eq!(reason(vec![ok(&many)]), Some(Reason::Full));
}

#[test]
fn numbers_that_make_no_sense_spoil_their_own_sum_only() {
    let page = "vllm:prompt_tokens_total{a=\"b\"} twelve\nvllm:prompt_tokens_total 3\n\
                vllm:generation_tokens_total NaN\nvllm:num_requests_running{a=\"b} 3\n\
                vllm:num_requests_waiting{} +Inf\nvllm:num_requests_waiting -2\n";
    let server =
        Server::new(vec![ok(page), ok("vllm:prompt_tokens_total -1\nvllm:generation_tokens_total 4")]);
    let (mut engine, mut batch) = (server.engine(EVERY_TIME), Batch::default());
    engine.collect(at(0), &mut batch).unwrap();
    for (metric, _) in engine.page.values() {
        assert_eq!(value(&batch, metric), Some(Reading::Absent(Absence::Implausible)), "{metric}");
    }
    batch.begin();
    engine.collect(at(1), &mut batch).unwrap();
    assert_eq!(value(&batch, Metric::EngineTokensGenerated), Some(Reading::Value(4.0)));
    assert_eq!(value(&batch, Metric::EngineRequestsRunning), None, "what is not on the page is not said");
}

#[test]
fn between_two_readings_the_last_one_stands_and_a_restart_shows_as_a_smaller_count() {
    let server = Server::new(vec![ok(&vllm("9", "500")), say(""), ok(&vllm("1", "2"))]);
    let (mut engine, mut batch) = (server.engine(Duration::from_secs(5)), Batch::default());
    let mut read = |second: u64| {
        batch.begin();
        let result = engine.collect(at(second), &mut batch).map_err(|error| error.reason);
        result.map(|()| value(&batch, Metric::EngineTokensGenerated).and_then(Reading::value))
    };
    assert_eq!(read(0), Ok(Some(1500.0)));
    assert_eq!(read(4), Ok(Some(1500.0)), "not asked again");
    assert_eq!(read(5), Err(Reason::Io));
    assert_eq!(read(6), Err(Reason::Io), "a failure stands as long");
    assert_eq!(read(10), Ok(Some(1002.0)));
}

#[test]
fn a_model_that_changes_is_another_generation_of_the_same_engine() {
    let page = |model: &str| ok(&format!("vllm:generation_tokens_total{{model_name=\"{model}\"}} 1\n"));
    let server = Server::new(vec![page("a"), page("a"), page("b")]);
    let (mut engine, mut batch) = (server.engine(EVERY_TIME), Batch::default());
    for (second, model) in [(0, "a"), (1, "a"), (2, "b")] {
        batch.begin();
        engine.collect(at(second), &mut batch).unwrap();
        let models: Vec<_> = batch.devices().map(|(_, info)| info.model.clone()).collect();
        assert_eq!(models, [model]);
    }
}

#[test]
fn engines_are_handed_over_once_each_to_be_read_apart() {
    assert!(open(&Options::default()).unwrap().is_none());
    let engines = ["http://127.0.0.1:1", "http://127.0.0.1:2/metrics=gpu0"];
    let engines = engines.map(|text| Target::parse(text).unwrap()).to_vec();
    let mut source = open(&Options { engines, ..Options::default() }).unwrap().unwrap();
    source.collect(at(0), &mut Batch::default()).unwrap();
    let names: Vec<_> = source.arrivals().into_iter().map(|arrival| arrival.name).collect();
    assert_eq!(names, ["engine/engine0", "engine/engine1"]);
    assert!(source.arrivals().is_empty());
}

/// Run by hand: `cargo test --release -p collectors engine -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn what_a_page_of_vllms_size_costs() {
    let mut body = vllm("100", "500");
    // 30 histograms of 40 buckets: about what one engine of vLLM 0.10 shows.
    for histogram in 0..30 {
        for bucket in 0..40 {
            body.push_str(&format!("vllm:histogram_{histogram}_seconds_bucket{{engine=\"0\",le=\"{bucket}.5\",model_name=\"meta-llama/Llama-3.1-70B-Instruct\"}} {bucket}.0\n"));
        }
    }
    let rounds = 2000;
    let server = Server::new((0..rounds).map(|_| ok(&body)).collect());
    let (mut engine, mut batch) = (server.engine(EVERY_TIME), Batch::default());
    let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let wall = || rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanoseconds = |time: rustix::time::Timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
    let (cpu_before, wall_before) = (nanoseconds(used()), nanoseconds(wall()));
    for second in 0..rounds {
        batch.begin();
        engine.collect(at(second), &mut batch).unwrap();
    }
    let (cpu, wall) = (nanoseconds(used()) - cpu_before, nanoseconds(wall()) - wall_before);
    let each = |all: i64| all as f64 / rounds as f64 / 1000.0;
    println!(
        "{} bytes, {} lines: {:.0} us of a core, {:.0} us in all",
        body.len(),
        body.lines().count(),
        each(cpu),
        each(wall)
    );
    let fetched = engine.fetch.get();
    assert!(fetched.is_err(), "the server has ended");
    let before = nanoseconds(used());
    for _ in 0..rounds {
        engine.page.read(body.as_bytes()).unwrap();
    }
    println!("parsing alone: {:.0} us", each(nanoseconds(used()) - before));
}
