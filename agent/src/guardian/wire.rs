//! What agent and guardian say to each other: JSON lines of bounded length over a unix socket in the guardian's directory.
use crate::actuate::{Brief, Report, Row};
use model::{Knob, Reason};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of this protocol. Guardian and agent must speak the same one; [`Ask::Retire`] is understood by all.
pub const PROTOCOL: u32 = 1;
/// Bytes of one line: a brief of the largest node, many times over.
pub const LINE_MAX: u64 = 4 << 20;
/// How long the other side may take to read a line.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(1);
/// The socket in the guardian's directory.
const SOCKET: &str = "guardian.sock";

/// Where the guardian of a directory listens.
pub fn socket(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

/// Who an agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol it speaks.
    pub protocol: u32,
    /// The agent's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// From one brief to the next, in seconds.
    pub beat_s: f64,
}

/// Who a guardian is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol it speaks.
    pub protocol: u32,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Whether an init system has started it: it then serves every agent of its protocol, whatever the version.
    #[serde(default)]
    pub standing: bool,
}

/// What a guardian is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// An agent attaches; the first line it sends.
    Hello(Hello),
    /// What is to be done until the next beat; also the agent's heartbeat.
    Brief(Box<Brief>),
    /// The agent stops cleanly.
    Stop {
        /// Whether safety caps stay and with them the guardian.
        hold: bool,
    },
    /// Everything goes back to what it was, and the guardian ends. Needs no hello.
    Release,
    /// What is in force. Needs no hello.
    Status,
    /// The guardian makes room for another version of itself: it ends, caps stay. Needs no hello.
    Retire,
}

/// What a guardian answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The agent is attached.
    Welcome(Welcome),
    /// It is not done.
    Refused {
        /// Why, as a label.
        reason: Reason,
        /// Why, as a sentence.
        why: String,
    },
    /// What became of briefs, sent as it happens.
    Report(Box<Report>),
    /// The end of the agent's session.
    Stopped {
        /// Whether every original is back, where that was asked for.
        restored: bool,
    },
    /// What was given back, a knob a line.
    Released(Vec<Given>),
    /// What is in force.
    Status(Box<Status>),
}

/// What became of one knob that was to be given back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// The device.
    pub device: String,
    /// The knob.
    pub knob: Knob,
    /// The value before our first write.
    pub original: f64,
    /// The value that is enforced now, read back after the write; or why it could not be given back.
    pub read_back: Result<f64, Reason>,
}

/// What a guardian has in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Who it is.
    pub guardian: Welcome,
    /// The agent that is attached, if one is.
    pub agent: Option<Hello>,
    /// Whether it holds on by itself because its agent is gone.
    pub orphaned: bool,
    /// Why nothing can be enforced, if so.
    pub refused: Option<Reason>,
    /// Lines of the audit log that could not be written.
    pub audit_lost: u64,
    /// Connections of users who may not attach.
    #[serde(default)]
    pub strangers: u64,
    /// Every knob of ours.
    pub rows: Vec<Row>,
}

/// Sends one line.
///
/// # Errors
/// When the other side is gone or does not read.
pub fn send<T: Serialize>(mut stream: &UnixStream, line: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    stream.write_all(&bytes)
}

/// Receives lines.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Lines {
    /// The lines that come in over a stream.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        Ok(Self { reader: BufReader::new(stream.try_clone()?), line: Vec::new() })
    }

    /// The next line, waited for as long as the stream's read timeout allows; `None` when the other side has closed.
    ///
    /// # Errors
    /// When there is none in time, it is too long, or it is no line of this protocol.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        self.line.clear();
        let mut bounded = self.reader.by_ref().take(LINE_MAX);
        if bounded.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(serde_json::from_slice(&self.line)?))
    }
}

/// Asks a guardian one thing and gives its answer; `None` where no guardian listens.
///
/// # Errors
/// When it does not answer within the patience, or in another language.
pub fn ask(directory: &Path, what: &Ask, patience: Duration) -> io::Result<Option<Answer>> {
    let Some(stream) = connect(directory)? else { return Ok(None) };
    stream.set_read_timeout(Some(patience))?;
    send(&stream, what)?;
    Lines::of(&stream)?.receive()
}

/// Connects to the guardian of a state directory; `None` where none listens.
///
/// # Errors
/// When the socket is there and may not be used.
pub fn connect(directory: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(socket(directory)) {
        Ok(stream) => {
            stream.set_write_timeout(Some(WRITE_PATIENCE))?;
            Ok(Some(stream))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn pair() -> (UnixStream, Lines) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        (ours, Lines::of(&theirs).unwrap())
    }

    #[test]
    fn a_line_arrives_as_it_was_sent_and_an_end_is_seen() {
        let (ours, mut lines) = pair();
        send(&ours, &Ask::Stop { hold: true }).unwrap();
        assert!(matches!(lines.receive().unwrap(), Some(Ask::Stop { hold: true })));
        drop(ours);
        assert!(lines.receive::<Ask>().unwrap().is_none());
    }

    #[test]
    fn nonsense_half_a_line_and_silence_are_errors() {
        let (mut ours, mut lines) = pair();
        ours.write_all(b"{\"brief\":{}}\n").unwrap();
        assert!(lines.receive::<Ask>().is_err());
        ours.write_all(b"\"relea").unwrap();
        assert_eq!(lines.receive::<Ask>().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(ours);
        let (mut ours, mut lines) = pair();
        ours.write_all(b"\"release\"").unwrap();
        drop(ours);
        assert_eq!(lines.receive::<Ask>().unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_line_without_an_end_is_not_read_for_ever() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let flood = std::thread::spawn(move || (&ours).write_all(&vec![b' '; LINE_MAX as usize + 1]));
        assert_eq!(Lines::of(&theirs).unwrap().receive::<Ask>().unwrap_err().kind(), ErrorKind::InvalidData);
        drop(theirs);
        let _ = flood.join().unwrap();
    }

    #[test]
    fn where_nobody_listens_there_is_no_answer_and_no_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(connect(home.path()).unwrap().is_none());
        drop(std::os::unix::net::UnixListener::bind(socket(home.path())).unwrap());
        assert!(
            ask(home.path(), &Ask::Status, Duration::from_secs(1)).unwrap().is_none(),
            "a dead one's socket"
        );
    }
}
