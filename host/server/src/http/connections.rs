//! Clients' connections: taken up to a bound, each watched for a client that does nothing, ended when the host stops.
//!
//! Knows nothing of what is asked for.

mod activity;
mod connection;
mod open_files;
mod paced;
mod refusals;
mod socket;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Connections;
use connection::Terms;
pub(super) use paced::TooSlow;
pub(crate) use tls::{Error as TlsError, Tls};

/// Of the files that may be open, so many in four are for connections; the rest is for the database, children and the
/// memory images of loaded modules.
const FILES_IN_FOUR: u64 = 3;
/// Before accepting again when the system refuses: a file or some memory must be given back first.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted; the system's own bound (net.core.somaxconn, 4,096 on Linux) may be lower. One too
/// many waits a second before it tries again: with 1,024, one of ten that a thousand clients opened at the same time did.
const ACCEPT_QUEUE: u32 = 65_535;
/// How often the same complaint is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Binds an address, and lets connections come; nobody accepts them yet. Called on a runtime.
///
/// # Errors
/// When the address is taken, or not this machine's.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A host that starts again soon finds connections of the one before still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE)
}

/// Answers requests until `stop`, in the clear or by TLS; then those under way, and returns.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    settings: Connections,
    stop: CancellationToken,
) {
    let settings = Connections { max: bound(settings.max), ..settings };
    let max = settings.max;
    let places = Arc::new(Semaphore::new(max));
    let terms = Arc::new(Terms { router, tls, settings, places: places.clone(), stop: stop.clone() });
    let connections = TaskTracker::new();
    let (mut full, mut refused) = (Complaint::default(), Complaint::default());
    loop {
        if places.available_permits() == 0 && full.is_due() {
            tracing::warn!(max, "all {max} connections are open; further ones wait (max_connections, or ulimit -n)");
        }
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                set_nodelay(&stream);
                connections.spawn(connection::serve(stream, Peer(peer.ip()), terms.clone(), place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if refused.is_due() {
                    tracing::warn!(%error, "the system refuses new connections: {error}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Nobody waits in a queue that nobody serves.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Who is at the other end of a connection: a client, or a proxy. Every request carries it among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

/// As many as wanted, unless the system lets us open fewer files.
fn bound(wanted: usize) -> usize {
    let files = open_files::raise();
    let room = usize::try_from(files / 4 * FILES_IN_FOUR).unwrap_or(usize::MAX);
    let max = wanted.min(room).clamp(1, Semaphore::MAX_PERMITS);
    tracing::info!(max, files, "at most {max} connections at once; {files} files may be open");
    max
}

/// Answers are written whole: waiting for more to send would only delay them.
fn set_nodelay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "a connection is gone already");
    }
}

/// Whether only the connection that was to be accepted is lost.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Keeps one complaint from filling the log.
#[derive(Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}
