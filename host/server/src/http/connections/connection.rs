//! One connection, from its first byte to its last: requests are answered one after the other, and a client that keeps
//! it waiting for too long is cut off.
//!
//! Knows nothing of other connections, except that they may be many.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::activity::{Activity, Phase, UnderWay};
use super::paced::Paced;
use super::refusals::Refusals;
use super::socket::Socket;
use super::{Peer, Tls};
use crate::config::Connections;

/// What is buffered of a request or an answer; also the largest head that can be read at all.
const BUFFER_BYTES: usize = 64 << 10;
/// How long a host that stops waits for the rest of a head: what is not asked by then is not under way.
const HEAD_WHILE_STOPPING: Duration = Duration::from_secs(1);
/// Where most places are taken, this is how long a connection may idle.
const IDLE_WHILE_CROWDED: Duration = Duration::from_secs(1);
/// How often an idle connection looks whether it is crowded.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// It is crowded when fewer than one in so many places are free.
const CROWDED: usize = 8;

/// What holds for every connection.
pub(super) struct Terms {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) settings: Connections,
    pub(super) places: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

impl Terms {
    /// How long a connection may wait for this.
    fn patience(&self, phase: Phase) -> Option<Duration> {
        let settings = &self.settings;
        match phase {
            Phase::UnderWay | Phase::Closing => None,
            Phase::Blocked(_) => Some(settings.transfer_timeout),
            Phase::Head if self.stop.is_cancelled() => Some(settings.head_timeout.min(HEAD_WHILE_STOPPING)),
            Phase::Head => Some(settings.head_timeout),
            Phase::Idle if self.places.available_permits() < settings.max / CROWDED => {
                Some(settings.idle_timeout.min(IDLE_WHILE_CROWDED))
            }
            Phase::Idle => Some(settings.idle_timeout),
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: Peer, terms: Arc<Terms>, place: OwnedSemaphorePermit) {
    let activity = Arc::new(Activity::new());
    // Beneath TLS: what counts is what goes over the network, and a handshake is the first part of the first head.
    let socket = Socket::new(stream, activity.clone(), place);
    let mut watch = Watch::new(&terms);
    match &terms.tls {
        None => speak(socket, peer, &terms, &activity, &mut watch).await,
        Some(tls) => {
            if let Some(stream) = shake_hands(tls, socket, &terms, &activity, &mut watch).await {
                speak(stream, peer, &terms, &activity, &mut watch).await;
            }
        }
    }
}

/// Agrees on keys with the client; `None` when that fails, or takes too long.
async fn shake_hands(
    tls: &Tls,
    socket: Socket,
    terms: &Terms,
    activity: &Activity,
    watch: &mut Watch,
) -> Option<TlsStream<Socket>> {
    let mut handshake = pin!(tls.acceptor().accept(socket));
    let mut stopping = Some(pin!(terms.stop.cancelled()));
    poll_fn(|context| {
        if stopping.as_mut().is_some_and(|stop| stop.as_mut().poll(context).is_ready()) {
            // Looked at once more: there is less patience from now on.
            stopping = None;
        }
        match handshake.as_mut().poll(context) {
            Poll::Ready(Ok(stream)) => Poll::Ready(Some(stream)),
            // The client's doing: it speaks no TLS, or none of ours, or does not trust the certificate.
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed: {error}");
                Poll::Ready(None)
            }
            Poll::Pending => watch.poll(context, terms, activity.phase()).map(|()| None),
        }
    })
    .await
}

/// Answers requests, one after the other.
async fn speak<S>(stream: S, peer: Peer, terms: &Terms, activity: &Arc<Activity>, watch: &mut Watch)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let under_way = activity.request();
        let body = |body| Body::new(Paced::new(body, activity.clone(), &terms.settings));
        let mut request = Request::from(request.map(body));
        request.extensions_mut().insert(peer);
        let answer = terms.router.clone().oneshot(request);
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| Answer { body, _under_way: under_way }))
        }
    });
    let mut builder = http1::Builder::new();
    // Heads are watched below, where waiting for one is told from waiting for its end.
    builder.header_read_timeout(None).max_buf_size(BUFFER_BYTES);
    let stream = TokioIo::new(Refusals::new(stream));
    let mut connection = pin!(builder.serve_connection(stream, service).with_upgrades());
    let mut stopping = Some(pin!(terms.stop.cancelled()));
    poll_fn(|context| {
        if let Some(stop) = &mut stopping
            && stop.as_mut().poll(context).is_ready()
        {
            stopping = None;
            // An idle connection ends at once; one with a request under way, after its answer.
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(context) {
            Poll::Ready(Ok(())) => return Poll::Ready(()),
            // The client's doing: it sent what is no HTTP, or is gone.
            Poll::Ready(Err(error)) => {
                tracing::trace!(%error, "a connection ended badly");
                return Poll::Ready(());
            }
            Poll::Pending => {}
        }
        watch.poll(context, terms, activity.phase())
    })
    .await;
}

/// Notices when a connection has waited for too long. Phases change only when the connection is polled.
struct Watch {
    phase: Phase,
    since: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Watch {
    fn new(terms: &Terms) -> Self {
        let now = Instant::now();
        Self { phase: Phase::Head, since: now, alarm: Box::pin(sleep_until(now + terms.settings.head_timeout)) }
    }

    /// Ready when the connection is to be cut off.
    fn poll(&mut self, context: &mut Context<'_>, terms: &Terms, phase: Phase) -> Poll<()> {
        if phase != self.phase {
            (self.phase, self.since) = (phase, Instant::now());
        }
        loop {
            // Without an end there is still a look: the alarm, once it rang, would wake nobody any more.
            let end = terms.patience(phase).map(|patience| self.since + patience);
            let look = match (end, phase) {
                (Some(end), Phase::Idle) => end.min(Instant::now() + LOOK_AROUND),
                (Some(end), _) => end,
                (None, _) => Instant::now() + terms.settings.idle_timeout,
            };
            // Setting it off later is left for when it rings, which spares busy connections the timer's lock.
            if self.alarm.deadline() > look {
                self.alarm.as_mut().reset(look);
            }
            std::task::ready!(self.alarm.as_mut().poll(context));
            if end.is_some_and(|end| end <= Instant::now()) {
                tracing::debug!(?phase, "cut off a connection that waited for too long");
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(look);
        }
    }
}

/// An answer's body: its request is under way until it is written.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
