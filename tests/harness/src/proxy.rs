//! A way to Postgres that a test can cut, stall and close: what networks do to connections.
//!
//! Forwards bytes and counts them; of the protocol they are in it knows only that a connection begins with its own name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the host to Postgres: statements.
    Asking,
    /// From Postgres to the host: answers. What is cut here may have been committed.
    Answering,
}

/// A proxy on a port of its own, in front of a Postgres on a Unix socket. Ends when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    socket: PathBuf,
    /// Raised whenever all connections are to end.
    cut: watch::Sender<u64>,
    /// While set, bytes are held back.
    stalled: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    refuses: bool,
    fuse: Option<Fuse>,
    blown: u64,
}

/// The next connection to pass this many further bytes this way ends in the middle of them.
struct Fuse {
    /// In the names of the connections it is about.
    named: String,
    way: Way,
    left: usize,
}

impl Proxy {
    /// Starts one in front of the Postgres whose socket is in `socket_dir`.
    pub async fn start(socket_dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            socket: socket_dir.join(".s.PGSQL.5432"),
            cut: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            state: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Ends every connection now.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Ends the connection that next passes `bytes` bytes this way, after exactly so many: in the middle of a message,
    /// if they end there.
    pub fn cut_after(&self, way: Way, bytes: usize) {
        self.cut_named("", way, bytes);
    }

    /// The same for connections with this in their `application_name`: no other's bytes count.
    pub fn cut_named(&self, named: &str, way: Way, bytes: usize) {
        self.shared.state.lock().unwrap().fuse = Some(Fuse { named: named.into(), way, left: bytes });
    }

    /// How many connections these two have ended.
    pub fn fuses_blown(&self) -> u64 {
        self.shared.state.lock().unwrap().blown
    }

    /// Passes nothing on for a while, and keeps all connections.
    pub async fn stall(&self, pause: Duration) {
        self.shared.stalled.send_replace(true);
        tokio::time::sleep(pause).await;
        self.shared.stalled.send_replace(false);
    }

    /// Ends every connection and takes none for a while.
    pub async fn refuse(&self, pause: Duration) {
        self.shared.state.lock().unwrap().refuses = true;
        self.cut();
        tokio::time::sleep(pause).await;
        self.shared.state.lock().unwrap().refuses = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if shared.state.lock().unwrap().refuses {
            continue;
        }
        tokio::spawn(forward(client, shared.clone()));
    }
}

async fn forward(client: TcpStream, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    // Dropped when Postgres takes nobody: the client sees its connection end.
    let Ok(server) = UnixStream::connect(&shared.socket).await else { return };
    client.set_nodelay(true).unwrap();
    let (mut from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The first message: among other settings, the name.
    let mut hello = vec![0; 1 << 10];
    let Ok(read @ 1..) = from_client.read(&mut hello).await else { return };
    let name = String::from_utf8_lossy(&hello[..read]);
    // Both ways end with the first that does, as with a connection that is lost.
    tokio::select! {
        _ = cut.changed() => {}
        () = pass(hello[..read].chain(from_client), to_server, Way::Asking, &name, &shared) => {}
        () = pass(from_server, to_client, Way::Answering, &name, &shared) => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    way: Way,
    name: &str,
    shared: &Shared,
) {
    let mut stalled = shared.stalled.subscribe();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if stalled.wait_for(|stalled| !stalled).await.is_err() {
            return;
        }
        let passes = shared.state.lock().unwrap().burn(name, way, read);
        if to.write_all(&buffer[..passes.unwrap_or(read)]).await.is_err() || passes.is_some() {
            return;
        }
    }
}

impl State {
    /// How many of these bytes are the last to pass; `None` when all do.
    fn burn(&mut self, name: &str, way: Way, bytes: usize) -> Option<usize> {
        let fuse = self.fuse.as_mut().filter(|fuse| fuse.way == way && name.contains(&fuse.named))?;
        if bytes < fuse.left {
            fuse.left -= bytes;
            return None;
        }
        let last = fuse.left;
        self.fuse = None;
        self.blown += 1;
        Some(last)
    }
}
