//! What a client still sends when its answer is made already: read and thrown away. One that is cut off in the middle may
//! never see the answer, and one that sends its next request on the same connection finds it closed.
//!
//! Knows nothing of what was answered.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{Extensions, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};

/// The most that is thrown away for somebody with a valid token: as much as the largest upload that is taken.
const MOST: usize = 64 << 20;
/// For anybody else: what is on its way by the time the answer is made.
const MOST_FOR_STRANGERS: usize = 64 << 10;

/// How much of a request's body may be thrown away.
#[derive(Debug, Clone)]
struct Room(Arc<AtomicUsize>);

/// Notes that the request came with a valid token.
pub(super) fn trust(extensions: &Extensions) {
    if let Some(Room(room)) = extensions.get() {
        room.store(MOST, Ordering::Relaxed);
    }
}

/// Takes that back: there is no time to wait for the rest.
pub(super) fn distrust(extensions: &Extensions) {
    if let Some(Room(room)) = extensions.get() {
        room.store(MOST_FOR_STRANGERS, Ordering::Relaxed);
    }
}

/// Answers once the client has sent all of its request, or more of it than is worth reading.
pub(super) async fn drain(request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
    if request.body().is_end_stream() {
        return answer(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let room = Room(Arc::new(AtomicUsize::new(MOST_FOR_STRANGERS)));
    parts.extensions.insert(room.clone());
    let left = Arc::new(Mutex::new(None));
    let watched = Watched {
        pieces: Some(body.into_data_stream()),
        // Who waits for a 100 sends nothing unless it is asked to.
        is_coming: !parts.headers.contains_key(EXPECT),
        left: left.clone(),
    };
    let mut answer = answer(Request::from_parts(parts, Body::from_stream(watched))).await;
    let left = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(pieces) = left
        && !is_read_to_its_end(pieces, room.0.load(Ordering::Relaxed)).await
    {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Throws away at most `room` bytes, and says whether that was all.
async fn is_read_to_its_end(mut pieces: BodyDataStream, mut room: usize) -> bool {
    // What is announced to be too much is not even begun.
    if HttpBody::size_hint(&pieces).lower() > room as u64 {
        return false;
    }
    loop {
        match pieces.next().await {
            None => return true,
            Some(Ok(piece)) if piece.len() <= room => room -= piece.len(),
            // Too much, too slow, or broken.
            Some(_) => return false,
        }
    }
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
        if let Poll::Ready(None) = piece {
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
    use axum::middleware::{Next, from_fn};
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
            .layer(from_fn(async |request, next: Next| drain(request, async |request| next.run(request).await).await));
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
