//! The client of `top`, `diagnose` and `energy`: asks a running agent for its snapshot, incidents and energy over TCP or a unix socket.
use crate::config::Config;
use crate::energy::Book;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use model::{Incident, Snapshot};
use serde::Deserialize;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of an answer.
const ANSWER_MAX: usize = 64 << 20;
/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An agent could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The target is neither an address nor a socket.
    #[error("{0:?} is no agent's address; write http://HOST:PORT or unix:PATH")]
    Target(String),
    /// It does not answer.
    #[error("{target} does not answer: {why}")]
    Silent {
        /// The agent.
        target: Target,
        /// What went wrong.
        why: String,
    },
    /// What it answers is no snapshot.
    #[error("{target} is no wattkeeper of this version: {why}")]
    Foreign {
        /// The agent.
        target: Target,
        /// What does not fit.
        why: String,
    },
}

impl Target {
    /// Reads `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// When it is none of them or the host has no address.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.trim_start_matches("//").into()));
        }
        let host = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let address = host.to_socket_addrs().ok().and_then(|mut list| list.next());
        address.map(Self::Tcp).ok_or_else(|| ClientError::Target(text.to_owned()))
    }

    /// Where the agent of a configuration would listen.
    pub fn of_config(config: &Config) -> Vec<Self> {
        config.socket.iter().cloned().map(Self::Unix).chain([Self::Tcp(config.listen)]).collect()
    }
}

/// What an agent says of its incidents.
#[derive(Debug, Clone, Deserialize)]
pub struct Incidents {
    /// When this run of the agent began to watch, in wall-clock milliseconds.
    pub started_ms: i64,
    /// From when on incidents are known, in wall-clock milliseconds.
    pub from_ms: i64,
    /// Active ones, then those that are over.
    pub incidents: Vec<Arc<Incident>>,
}

/// Asks one agent.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
}

impl Client {
    /// A client of an agent.
    pub fn new(target: Target) -> Self {
        Self { target }
    }

    /// The agent's last snapshot.
    ///
    /// # Errors
    /// When it does not answer in time or answers something else.
    pub fn state(&self) -> Result<Snapshot, ClientError> {
        self.ask("/state")
    }

    /// The agent's incidents and how far back they reach.
    ///
    /// # Errors
    /// When it does not answer in time or answers something else.
    pub fn incidents(&self) -> Result<Incidents, ClientError> {
        self.ask("/incidents")
    }

    /// The energy that the agent counted, by day.
    ///
    /// # Errors
    /// When it does not answer in time or answers something else.
    pub fn energy(&self) -> Result<Book, ClientError> {
        self.ask("/energy")
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let silent = |why: String| ClientError::Silent { target: self.target.clone(), why };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| silent(error.to_string()))?;
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.fetch(path)).await });
        let body = answer
            .map_err(|_| silent(format!("nothing within {PATIENCE:?}")))?
            .map_err(|error| silent(error.to_string()))?;
        let foreign = |error: serde_json::Error| ClientError::Foreign {
            target: self.target.clone(),
            why: error.to_string(),
        };
        serde_json::from_slice(&body).map_err(foreign)
    }

    async fn fetch(&self, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        match &self.target {
            Target::Tcp(address) => exchange(tokio::net::TcpStream::connect(address).await?, path).await,
            Target::Unix(socket) => exchange(tokio::net::UnixStream::connect(socket).await?, path).await,
        }
    }
}

async fn exchange<S>(stream: S, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "wattkeeper").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("it says {}", response.status()).into());
    }
    Ok(Limited::new(response.into_body(), ANSWER_MAX).collect().await?.to_bytes())
}

/// What a poller has: the last snapshot, and why there is no newer one.
type Latest = (Option<Arc<Snapshot>>, Option<String>);

/// Asks again and again on the thread `wk-attach`, so that a slow agent does not freeze the screen.
#[derive(Debug)]
pub struct Poller {
    latest: Arc<Mutex<Latest>>,
    /// Dropping it ends the thread.
    _alive: SyncSender<()>,
}

impl Poller {
    /// Starts asking.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(client: Client, interval: Duration) -> std::io::Result<Self> {
        let latest = Arc::new(Mutex::new((None, Some("connecting".to_owned()))));
        let (alive, gone) = sync_channel(0);
        let shared = Arc::clone(&latest);
        let poll = move || loop {
            let answer = client.state();
            let mut latest = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(snapshot) => *latest = (Some(Arc::new(snapshot)), None),
                Err(error) => latest.1 = Some(error.to_string()),
            }
            drop(latest);
            if gone.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        };
        std::thread::Builder::new().name("wk-attach".into()).spawn(poll)?;
        Ok(Self { latest, _alive: alive })
    }

    /// The last snapshot, and what is wrong if there is no newer one.
    pub fn latest(&self) -> Latest {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_or_sockets() {
        assert_eq!(
            Target::parse("http://127.0.0.1:9477/").unwrap(),
            Target::Tcp("127.0.0.1:9477".parse().unwrap())
        );
        assert_eq!(Target::parse("127.0.0.1:1").unwrap().to_string(), "http://127.0.0.1:1");
        assert_eq!(Target::parse("unix:/run/wk.sock").unwrap(), Target::Unix("/run/wk.sock".into()));
        assert!(Target::parse("nonsense").unwrap_err().to_string().contains("unix:PATH"));
    }

    #[test]
    fn an_agent_that_is_not_there_is_silent() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(Client::new(Target::Tcp(free)).state(), Err(ClientError::Silent { .. })));
    }
}
