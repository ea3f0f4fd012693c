//! What a client still sends when its answer is made already: read and thrown away. One that is cut off in the middle may
//! never see the answer, and one that sends its next request on the same connection finds it closed.
//!
//! Knows nothing of what was answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};

/// The most that is thrown away: as much as the largest upload that is taken.
const MOST: usize = 64 << 20;

/// The longest pause between two pieces; a client that stalls longer gets its answer and a closed connection.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Answers once the client has sent all of its request.
pub(super) async fn drain(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let left = Arc::new(Mutex::new(None));
    let watched = Watched {
        pieces: Some(body.into_data_stream()),
        // Who waits for a 100 sends nothing unless it is asked to.
        is_coming: !parts.headers.contains_key(EXPECT),
        left: left.clone(),
    };
    let answer = next.run(Request::from_parts(parts, Body::from_stream(watched))).await;
    let left = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut pieces) = left {
        let mut room = MOST;
        while let Ok(Some(Ok(piece))) = tokio::time::timeout(LONGEST_PAUSE, pieces.next()).await {
            room = room.saturating_sub(piece.len());
            if room == 0 {
                break;
            }
        }
    }
    answer
}

/// A body that leaves behind what nobody read of it.
struct Watched {
    /// `None` once it has ended.
    pieces: Option<BodyDataStream>,
    is_coming: bool,
    left: Arc<Mutex<Option<BodyDataStream>>>,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_coming = true;
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        let piece = pieces.poll_next_unpin(context);
        if let Poll::Ready(None | Some(Err(_))) = piece {
            self.pieces = None;
        }
        piece
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.is_coming {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = self.pieces.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::post;
    use futures::stream;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn everything_that_comes_is_read_whoever_reads_it() {
        async fn first(body: Body) {
            body.into_data_stream().next().await.unwrap().unwrap();
        }
        let routes = Router::new()
            .route("/none", post(async || ()))
            .route("/first", post(first))
            .route("/all", post(async |_: Bytes| ()))
            .layer(axum::middleware::from_fn(drain));
        for (path, expects, read) in [
            ("/none", false, 3),
            ("/first", false, 3),
            ("/all", false, 3),
            ("/nowhere", false, 3),
            ("/none", true, 0),
            ("/first", true, 3),
        ] {
            let polled = Arc::new(AtomicUsize::new(0));
            let count = polled.clone();
            let pieces = stream::iter(0..3).map(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
            });
            let mut request = Request::post(path);
            if expects {
                request = request.header(EXPECT, "100-continue");
            }
            routes.clone().oneshot(request.body(Body::from_stream(pieces)).unwrap()).await.unwrap();
            assert_eq!(polled.load(Ordering::Relaxed), read, "{path} {expects}");
        }
    }
}
