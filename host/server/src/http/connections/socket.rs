//! A client's socket: tells what it is doing, holds its place among the connections, and lets the client read the last
//! answer before it is closed.
//!
//! Knows nothing of HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::activity::Activity;

/// How long a client that still sends is heard out after its last answer. Closed at once, it would be told by the
/// kernel that the connection was reset, and might never see the answer.
const LINGER: Duration = Duration::from_secs(5);
/// How much of that is read. Of a client that sends more, the rest is left where it is: it waits with sending, and sees
/// its answer.
const LINGER_BYTES: usize = 1 << 20;

/// A client's socket.
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// Here, since an upgraded connection outlives the task that served it.
    _place: OwnedSemaphorePermit,
    lingering: Option<Lingering>,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    room: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, place: OwnedSemaphorePermit) -> Self {
        Self { stream, activity, _place: place, lingering: None }
    }

    /// Reads what still comes, until the client ends or has had its time.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| {
            self.activity.closing();
            Lingering { until: Box::pin(sleep(LINGER)), room: LINGER_BYTES }
        });
        let mut discarded = [0; 4096];
        while lingering.room > 0 {
            let mut piece = ReadBuf::new(&mut discarded);
            match Pin::new(&mut self.stream).poll_read(context, &mut piece) {
                Poll::Pending => return lingering.until.as_mut().poll(context),
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    lingering.room = lingering.room.saturating_sub(piece.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        lingering.until.as_mut().poll(context)
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.activity.took(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocked(),
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.came();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.activity.has_unread() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
