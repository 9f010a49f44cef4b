//! The HTTP server: hands out what was published, on a thread of its own, with a limit on everything a client can do.
mod interference;
mod routes;

use crate::publish::Board;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

/// Connections at once; a further one is closed unanswered.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's head; a longer one is refused.
const HEAD_MAX: usize = 16 * 1024;
/// How long a client may take to send a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection lives at most; readers of `/events` connect again, as the protocol has it.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// How long data may lie unread by a client before the kernel closes the connection, in milliseconds.
const UNREAD_MS: u32 = 20_000;

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken.
    #[error(
        "{address} is in use; stop what listens there, or choose another with --listen ADDR (key listen)"
    )]
    InUse {
        /// The address.
        address: String,
    },
    /// The address cannot be had for another reason.
    #[error("cannot listen on {address} (key {key}): {source}")]
    Listen {
        /// The address or path.
        address: String,
        /// The key of the configuration.
        key: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    socket: Option<PathBuf>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on an address and, where one is given, on a unix socket.
    ///
    /// # Errors
    /// When one of them cannot be had; then nothing was started.
    pub fn start(listen: SocketAddr, socket: Option<PathBuf>, board: Arc<Board>) -> Result<Self, ServeError> {
        let (tcp, unix) = (bind_tcp(listen)?, socket.as_deref().map(bind_unix).transpose()?);
        let refused = |source| ServeError::Listen { address: listen.to_string(), key: "listen", source };
        let address = tcp.local_addr().map_err(refused)?;
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let serve = move || runtime.block_on(serve(tcp, unix, board, stopped));
        let thread = std::thread::Builder::new().name("wk-http".into()).spawn(serve).map_err(refused)?;
        Ok(Self { address, socket, stop, thread: Some(thread) })
    }

    /// The address it listens on, with the port that the system chose where none was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server; connections under way are cut.
    pub fn shutdown(mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}

fn bind_tcp(listen: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => ServeError::InUse { address: listen.to_string() },
        _ => ServeError::Listen { address: listen.to_string(), key: "listen", source },
    })
}

/// Binds a unix socket. The file of a process that is gone is replaced; one that answers is in use.
fn bind_unix(path: &Path) -> Result<std::os::unix::net::UnixListener, ServeError> {
    let address = path.display().to_string();
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ServeError::InUse { address });
    }
    let bind = || {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| ServeError::Listen { address, key: "socket", source })
}

async fn serve(
    tcp: std::net::TcpListener,
    unix: Option<std::os::unix::net::UnixListener>,
    board: Arc<Board>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(tcp) = TcpListener::from_std(tcp) else { return };
    let unix = unix.and_then(|unix| UnixListener::from_std(unix).ok());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let routes = routes::router(board);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            accepted = tcp.accept() => if let Ok((stream, _)) = accepted {
                let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MS);
                let _ = stream.set_nodelay(true);
                attend(stream, &routes, &room);
            },
            accepted = accept_unix(unix.as_ref()) => if let Ok((stream, _)) = accepted {
                attend(stream, &routes, &room);
            },
        }
    }
}

async fn accept_unix(
    unix: Option<&UnixListener>,
) -> std::io::Result<(tokio::net::UnixStream, tokio::net::unix::SocketAddr)> {
    match unix {
        Some(unix) => unix.accept().await,
        None => std::future::pending().await,
    }
}

/// Serves one connection on a task of its own, if there is room.
fn attend<S>(stream: S, routes: &axum::Router, room: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(place) = Arc::clone(room).try_acquire_owned() else { return };
    let service = TowerToHyperService::new(routes.clone());
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::spawn(async move {
        // A client that breaks off is an ordinary end.
        let _ = tokio::time::timeout(CONNECTION_LIFE, connection).await;
        drop(place);
    });
}

#[cfg(test)]
mod tests;
