//! Support for whole-program tests: a running `wattkeeper` of our own, and the least HTTP that is needed to ask it things.
#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]
pub mod kubelet;

use agent::guardian::wire::{Answer, Ask, Status, ask};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a test waits for something that should take a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The folder with the built binary and libraries.
pub fn build_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps").to_owned()
}

/// The built binary.
///
/// # Panics
/// When it was not built; `tests/run` builds the workspace first.
pub fn binary() -> PathBuf {
    let path = build_dir().join("wattkeeper");
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// The fake NVML library.
///
/// # Panics
/// When it was not built.
pub fn fake_library() -> PathBuf {
    fake("nvml")
}

/// A fake vendor library: the one beside the tests first, since only that is built anew with them.
///
/// # Panics
/// When it was not built.
pub fn fake(vendor: &str) -> PathBuf {
    let name = format!("libfake_{vendor}.so");
    let candidates = [build_dir().join("deps").join(&name), build_dir().join(&name)];
    candidates
        .iter()
        .find(|path| path.exists())
        .cloned()
        .unwrap_or_else(|| panic!("none of {candidates:?} exists"))
}

/// A running agent, killed at the end of the test.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    /// Where it keeps its state when the test names no place: never this machine's own.
    _home: Option<tempfile::TempDir>,
    /// Its state directory, where a guardian may outlive it.
    state: Option<PathBuf>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Agent {
    /// Starts `wattkeeper run` on a free port with these arguments and environment, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start(arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::start_as("run", arguments, environment)
    }

    /// The same for another subcommand that serves.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start_as(subcommand: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::start_from(Command::new(binary()), (subcommand, arguments), environment)
    }

    /// The same from a command of the caller's, such as one of another user's.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start_from(
        mut command: Command,
        (subcommand, arguments): (&str, &[&str]),
        environment: &[(&str, &Path)],
    ) -> Self {
        let address = free_address();
        command.arg(subcommand).args(["--listen", &address.to_string()]).args(arguments);
        let named =
            arguments.iter().any(|argument| argument.starts_with("state.directory=")) || subcommand != "run";
        let home = (!named).then(|| tempfile::tempdir().expect("a folder"));
        if let Some(home) = &home {
            command.args(["--set", &format!("state.directory={}", home.path().display())]);
        }
        command.envs(environment.iter().map(|(name, value)| (*name, *value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().expect("the binary starts");
        let named = arguments.iter().find_map(|argument| argument.strip_prefix("state.directory="));
        let state = named.map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.path().to_owned()));
        let agent = Self { child, _home: home, state, address };
        eventually("the agent answers", || get(address, "/readyz").is_ok_and(|reply| reply.status == 200));
        agent
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks a route.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Reply {
        get(self.address, path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// The value of one series of `/metrics`, found by a part of its line before the value.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        metric(&self.get("/metrics").text(), name, labels)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        // SAFETY: kill takes plain numbers; the child is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within the patience.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let mut status = None;
        eventually_within(patience, "the agent ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let status = self.state.as_deref().and_then(guardian);
        let others =
            |status: &Status| status.agent.as_ref().is_some_and(|agent| agent.pid != self.child.id());
        if let Some(status) = status.filter(|status| !others(status)) {
            kill(status.guardian.pid);
        }
    }
}

/// What the guardian of a state directory says of itself, where one runs.
pub fn guardian(state: &Path) -> Option<Box<Status>> {
    match ask(state, &Ask::Status, Duration::from_secs(5)) {
        Ok(Some(Answer::Status(status))) => Some(status),
        _ => None,
    }
}

/// Kills a process of this test at once.
///
/// # Panics
/// When the number is none of a process.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).expect("a process id fits");
    // SAFETY: kill takes plain numbers; the process is one that this test has started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header lines.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
        found.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    }
}

/// Asks a route once, on a connection of its own.
///
/// # Errors
/// When the connection fails or the answer is cut short.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<Reply> {
    request(address, path, &[])
}

/// Asks a route with further header lines.
///
/// # Errors
/// When the connection fails or the answer is cut short.
pub fn request(address: SocketAddr, path: &str, headers: &[&str]) -> std::io::Result<Reply> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    (&stream).write_all(
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{extra}\r\n").as_bytes(),
    )?;
    let mut reader = BufReader::new(&stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let status = lines.first().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    let chunked = lines.iter().any(|line| line.to_lowercase() == "transfer-encoding: chunked");
    let body = if chunked { unchunk(&body) } else { body };
    let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Reply { status, headers: lines.split_off(1), body })
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .unwrap_or(0);
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

/// The value of the first series with this name whose labels contain all of these texts.
pub fn metric(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = page.lines().find(|line| {
        let same = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        same && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// An address of this machine with a port that nobody has.
///
/// # Panics
/// When there is no free port.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// Waits until something holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds);
}

/// Waits until something holds.
///
/// # Panics
/// When it does not within the patience.
pub fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    use model::Clock as _;
    let clock = agent::clock::MachineClock;
    let deadline = clock.now().after(patience);
    while !holds() {
        let now = clock.now();
        assert!(now < deadline, "not within {patience:?}: {what}");
        agent::clock::wait_until(now.after(Duration::from_millis(20)).mono_ns);
    }
}

/// Runs the binary to its end and gives its exit code, standard output and standard error.
///
/// # Panics
/// When it cannot be started.
pub fn run(arguments: &[&str], environment: &[(&str, &Path)]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .envs(environment.iter().map(|(name, value)| (*name, *value)));
    let output = command.output().expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
