//! A request's body, held to a pace: a client that brings next to nothing holds a connection for nothing.
//!
//! Only the time in which the host waits for the client counts, so that a slow host blames nobody.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use crate::config::Connections;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body brings too little.
#[derive(Debug, thiserror::Error)]
#[error("fewer than {min_bytes} bytes of the body came in {window:?}")]
pub(crate) struct TooSlow {
    min_bytes: u64,
    window: Duration,
}

impl TooSlow {
    /// Looks for it among an error's causes.
    pub(crate) fn among<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(slow) = error.downcast_ref() {
                return Some(slow);
            }
            cause = error.source();
        }
        None
    }
}

/// A body that must bring so many bytes in each stretch of waiting for it.
pub(super) struct Paced<B> {
    body: B,
    activity: Arc<Activity>,
    window: Duration,
    min_bytes: u64,
    /// Waited for so far in this stretch, before the wait that may be going on.
    waited: Duration,
    came: u64,
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

impl<B: HttpBody> Paced<B> {
    pub(super) fn new(body: B, activity: Arc<Activity>, settings: &Connections) -> Self {
        Self {
            has_ended: body.is_end_stream(),
            body,
            activity,
            window: settings.transfer_timeout,
            min_bytes: settings.transfer_min_bytes,
            waited: Duration::ZERO,
            came: 0,
            waiting_since: None,
            alarm: None,
        }
    }
}

impl<B> Paced<B> {
    /// Whether a stretch is over, and it brought enough.
    fn look(&mut self) -> Result<(), TooSlow> {
        if self.waited < self.window {
            return Ok(());
        }
        if self.came < self.min_bytes {
            return Err(TooSlow { min_bytes: self.min_bytes, window: self.window });
        }
        (self.waited, self.came) = (Duration::ZERO, 0);
        Ok(())
    }

    /// Waits for the client; ends only when it has been too slow.
    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let deadline = since + (self.window - self.waited);
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            std::task::ready!(alarm.as_mut().poll(context));
            self.waiting_since = None;
            self.waited = self.window;
            if let Err(slow) = self.look() {
                return Poll::Ready(slow);
            }
        }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.poll_waiting(context).map(|slow| Some(Err(slow.into())));
        };
        if let Some(since) = this.waiting_since.take() {
            this.waited += since.elapsed();
        }
        match frame {
            Some(Ok(frame)) => {
                this.came += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.has_ended = this.body.is_end_stream();
                if !this.has_ended {
                    this.look()?;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                this.has_ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.activity.left_unread();
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::{StreamExt, stream};

    use super::*;

    const MIN_BYTES: u64 = 1_000;
    const WINDOW: Duration = Duration::from_millis(200);

    /// How much arrives of so many pieces, one a millisecond, each of so many bytes.
    async fn arrived(pieces: u64, bytes: usize, then_stalls: bool) -> Result<u64, String> {
        let settings =
            Connections { transfer_timeout: WINDOW, transfer_min_bytes: MIN_BYTES, ..Connections::default() };
        let coming = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes]))
        });
        let coming = if then_stalls { coming.chain(stream::pending()).left_stream() } else { coming.right_stream() };
        let paced = Paced::new(Body::from_stream(coming), Arc::new(Activity::new()), &settings);
        let mut arriving = Body::new(paced).into_data_stream();
        let mut count = 0;
        while let Some(piece) = arriving.next().await {
            match piece {
                Ok(piece) => count += piece.len() as u64,
                Err(error) => {
                    assert!(TooSlow::among(&error).is_some());
                    return Err(error.to_string());
                }
            }
        }
        Ok(count)
    }

    #[tokio::test]
    async fn slow_but_steady_passes_and_a_trickle_does_not() {
        assert_eq!(arrived(0, 0, false).await, Ok(0));
        assert_eq!(arrived(500, 1_000, false).await, Ok(500_000), "longer than a stretch, and always enough");
        assert_eq!(arrived(3, 1, false).await, Ok(3), "next to nothing, but it ends in time");
        for (pieces, bytes, stalls) in [(10_000, 1, false), (0, 0, true), (3, 1_000, true)] {
            let error = arrived(pieces, bytes, stalls).await.unwrap_err();
            assert_eq!(error, "fewer than 1000 bytes of the body came in 200ms", "{pieces} {bytes}");
        }
    }

    #[tokio::test]
    async fn notes_what_nobody_reads() {
        for (read, unread) in [(0, true), (1, true), (3, false)] {
            let activity = Arc::new(Activity::new());
            let pieces = stream::iter(0..2).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x")));
            let paced = Paced::new(Body::from_stream(pieces), activity.clone(), &Connections::default());
            let mut arriving = Body::new(paced).into_data_stream();
            for _ in 0..read {
                drop(arriving.next().await);
            }
            drop(arriving);
            assert_eq!(activity.has_unread(), unread, "{read}");
        }
    }
}
