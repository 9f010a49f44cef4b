//! One GET of HTTP/1.1 with a deadline over all of it and a bounded answer: what reading an engine's page takes, no more.
//!
//! Written out because it is small, and because the deadline must hold against a server that sends a byte now and then: the
//! kernel's timer ends the waiting, so no clock is read here.
use super::target::Target;
use model::error::Reason;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Bytes of a page at most. vLLM's are below 200 kB.
pub(super) const BODY_MAX: usize = 4 << 20;
/// Bytes of an answer's head at most.
const HEAD_MAX: usize = 16 << 10;
/// Bytes of the line that says how long a chunk is.
const LINE_MAX: usize = 64;
/// Bytes read at once.
const READ_MAX: usize = 32 << 10;

/// A page could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The system failed.
    #[error("could not {operation}: {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The deadline passed.
    #[error("no whole answer in time")]
    Late,
    /// The answer ended early.
    #[error("the answer ends before its end")]
    Cut,
    /// The engine refuses.
    #[error("it says HTTP {0}")]
    Status(u16),
    /// The answer is not what was asked for.
    #[error("{0}")]
    Malformed(&'static str),
    /// The answer is too long, or has too many series.
    #[error("the answer is too long")]
    Full,
    /// The page has nothing that is understood.
    #[error("the page has no tokens or requests of an engine that is known")]
    Foreign,
}

impl FetchError {
    /// The label. Never `Lost`, which would end the source.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => Reason::Missing,
                io::ErrorKind::WouldBlock => Reason::Late,
                _ => Reason::of_io(source),
            },
            Self::Late => Reason::Late,
            Self::Cut => Reason::Io,
            Self::Status(401 | 403) => Reason::Denied,
            Self::Status(404) => Reason::Missing,
            Self::Status(_) => Reason::Io,
            Self::Malformed(_) => Reason::Malformed,
            Self::Full => Reason::Full,
            Self::Foreign => Reason::Unsupported,
        }
    }

    fn io(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }
}

/// Fetches one page again and again; keeps its memory between.
pub(super) struct Fetch {
    address: SocketAddr,
    request: Vec<u8>,
    deadline: Duration,
    answer: Answer,
    piece: Box<[u8]>,
}

impl Fetch {
    /// A page that is to be had within `deadline`.
    pub(super) fn new(target: &Target, deadline: Duration) -> Self {
        let Target { address, path, .. } = target;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain\r\nUser-Agent: wattkeeper\r\nConnection: close\r\n\r\n"
        );
        let piece = vec![0; READ_MAX].into_boxed_slice();
        Self { address: *address, request: request.into_bytes(), deadline, answer: Answer::default(), piece }
    }

    /// The page as it is now.
    ///
    /// # Errors
    /// When there is no whole page of a decent size in time.
    pub(super) fn get(&mut self) -> Result<&[u8], FetchError> {
        let timer = timer(self.deadline).map_err(FetchError::io("set a timer"))?;
        let connected = TcpStream::connect_timeout(&self.address, self.deadline);
        let mut stream = connected.map_err(FetchError::io("connect"))?;
        stream.set_write_timeout(Some(self.deadline)).map_err(FetchError::io("set a timeout"))?;
        stream.write_all(&self.request).map_err(FetchError::io("ask"))?;
        self.answer.begin();
        loop {
            wait(&stream, &timer)?;
            let count = match stream.read(&mut self.piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(FetchError::io("read"))?,
            };
            let done =
                if count == 0 { self.answer.end()? } else { self.answer.take(&self.piece[..count])? };
            if done {
                return Ok(&self.answer.body);
            }
        }
    }
}

fn timer(after: Duration) -> io::Result<OwnedFd> {
    let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Deadlines are seconds at most.
    let value = Timespec { tv_sec: after.as_secs().cast_signed(), tv_nsec: after.subsec_nanos().into() };
    timerfd_settime(&fd, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: none, it_value: value })?;
    Ok(fd)
}

/// Waits until there is something to read, or the timer ends.
fn wait(stream: &TcpStream, timer: &OwnedFd) -> Result<(), FetchError> {
    let mut both = [PollFd::new(stream, PollFlags::IN), PollFd::new(timer, PollFlags::IN)];
    loop {
        match poll(&mut both, None) {
            Ok(_) if !both[1].revents().is_empty() => return Err(FetchError::Late),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(FetchError::io("wait")(error.into())),
        }
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// The head is not complete.
    Head,
    /// So many bytes are missing.
    Length(usize),
    /// The line with the next chunk's size is being read.
    Size,
    /// So many bytes of a chunk are missing.
    Chunk(usize),
    /// The line's end behind a chunk is being read.
    ChunkEnd,
    /// The body goes on until the connection is closed.
    Close,
    /// Everything is there.
    Done,
}

/// An answer as it comes in.
#[derive(Debug)]
struct Answer {
    frame: Frame,
    head: Vec<u8>,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { frame: Frame::Head, head: Vec::new(), line: Vec::new(), body: Vec::new() }
    }
}

impl Answer {
    fn begin(&mut self) {
        self.frame = Frame::Head;
        self.head.clear();
        self.line.clear();
        self.body.clear();
    }

    /// Takes what has come; says whether that was all.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool, FetchError> {
        while !bytes.is_empty() && self.frame != Frame::Done {
            bytes = match self.frame {
                Frame::Head => self.take_head(bytes)?,
                Frame::Length(left) => {
                    let (taken, rest) = bytes.split_at(left.min(bytes.len()));
                    self.append(taken)?;
                    self.frame =
                        if left == taken.len() { Frame::Done } else { Frame::Length(left - taken.len()) };
                    rest
                }
                Frame::Size | Frame::ChunkEnd => self.take_line(bytes)?,
                Frame::Chunk(left) => {
                    let (taken, rest) = bytes.split_at(left.min(bytes.len()));
                    self.append(taken)?;
                    self.frame =
                        if left == taken.len() { Frame::ChunkEnd } else { Frame::Chunk(left - taken.len()) };
                    rest
                }
                Frame::Close => {
                    self.append(bytes)?;
                    &[]
                }
                Frame::Done => &[],
            };
        }
        Ok(self.frame == Frame::Done)
    }

    /// The connection was closed.
    fn end(&self) -> Result<bool, FetchError> {
        if matches!(self.frame, Frame::Close | Frame::Done) { Ok(true) } else { Err(FetchError::Cut) }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        if self.body.len() + bytes.len() > BODY_MAX {
            return Err(FetchError::Full);
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FetchError> {
        let before = self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_MAX + 4 - before)]);
        let from = before.saturating_sub(3);
        let Some(end) = self.head[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
            // What is no HTTP is told as soon as that is clear.
            let start = &self.head[..self.head.len().min(5)];
            return match (b"HTTP/".starts_with(start), self.head.len() > HEAD_MAX) {
                (false, _) => Err(FetchError::Malformed("the answer is no HTTP")),
                (true, true) => Err(FetchError::Full),
                (true, false) => Ok(&[]),
            };
        };
        let end = from + end;
        self.frame = framing(&self.head[..end])?;
        Ok(&bytes[end + 4 - before..])
    }

    /// Takes bytes of a line between chunks.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FetchError> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len()).min(LINE_MAX + 1)]);
        if self.line.len() > LINE_MAX {
            return Err(FetchError::Malformed("a chunk has no size"));
        }
        let Some(end) = end else { return Ok(&[]) };
        let line = self.line.trim_ascii();
        self.frame = match self.frame {
            Frame::ChunkEnd if line.is_empty() => Frame::Size,
            Frame::ChunkEnd => return Err(FetchError::Malformed("a chunk is longer than it says")),
            _ => match chunk_size(line)? {
                0 => Frame::Done,
                size => Frame::Chunk(size),
            },
        };
        self.line.clear();
        Ok(&bytes[end + 1..])
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, FetchError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or(line).trim_ascii();
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match size {
        None => Err(FetchError::Malformed("a chunk has no size")),
        Some(size) if size > BODY_MAX => Err(FetchError::Full),
        Some(size) => Ok(size),
    }
}

/// How the body comes, by the head without its empty line.
fn framing(head: &[u8]) -> Result<Frame, FetchError> {
    let malformed = FetchError::Malformed;
    let head = std::str::from_utf8(head).map_err(|_| malformed("the answer's head is no text"))?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next().filter(|line| line.starts_with("HTTP/1.")).and_then(|line| line.split(' ').nth(1));
    let status: u16 =
        status.and_then(|code| code.parse().ok()).ok_or(malformed("the answer is no HTTP/1"))?;
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    let (mut length, mut chunked) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| malformed("the length is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("content-encoding") && !value.eq_ignore_ascii_case("identity") {
            return Err(malformed("the page is packed, which was not asked for"));
        }
    }
    match (chunked, length) {
        (true, _) => Ok(Frame::Size),
        (false, Some(length)) if length > BODY_MAX => Err(FetchError::Full),
        (false, Some(0)) => Ok(Frame::Done),
        (false, Some(length)) => Ok(Frame::Length(length)),
        (false, None) => Ok(Frame::Close),
    }
}
