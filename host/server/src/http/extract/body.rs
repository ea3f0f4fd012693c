//! Bodies: read whole, bounded in size and in how long they may pause.
//!
//! The content type is not looked at: `curl -d` calls everything a form.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use walker_model::Json;

use crate::host::Host;
use crate::http::problem::{Kind, Problem};

/// The longest pause between two pieces of a body; a client that stalls longer holds a connection for nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is read and thrown away of a body that is too large: a client that is cut off while it still sends
/// may never see the answer.
const MAX_DRAINED: usize = 64 << 20;

/// Far more than any name, address, password and list of scopes; some of these bodies come without a token.
const MAX_SMALL: u64 = 64 << 10;

/// What is reserved on the strength of an announced length alone.
const MAX_RESERVED: u64 = 1 << 20;

/// One JSON value as it was sent; `None` for an empty body.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Option<Json>);

impl FromRequest<Arc<Host>> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, host: &Arc<Host>) -> Result<Self, Problem> {
        let bytes = read(request, host.config.max_body_bytes, LONGEST_PAUSE).await?;
        Ok(Self(json(bytes)?))
    }
}

/// One JSON value where nobody needs a large one; `None` for an empty body.
#[derive(Debug)]
pub(super) struct SmallJson(pub(super) Option<Json>);

impl FromRequest<Arc<Host>> for SmallJson {
    type Rejection = Problem;

    async fn from_request(request: Request, host: &Arc<Host>) -> Result<Self, Problem> {
        let limit = host.config.max_body_bytes.min(MAX_SMALL);
        Ok(Self(json(read(request, limit, LONGEST_PAUSE).await?)?))
    }
}

/// A module as it was uploaded.
#[derive(Debug)]
pub(crate) struct ModuleBytes(pub(crate) Bytes);

impl FromRequest<Arc<Host>> for ModuleBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, host: &Arc<Host>) -> Result<Self, Problem> {
        Ok(Self(read(request, host.config.max_module_bytes, LONGEST_PAUSE).await?))
    }
}

fn json(bytes: Bytes) -> Result<Option<Json>, Problem> {
    let malformed = |detail| Problem::new(Kind::BodyMalformed, detail);
    let text = String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        malformed(format!("the body is not UTF-8 text: byte {at} does not belong there"))
    })?;
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // The message names line and column.
    Json::parse(text).map(Some).map_err(|error| malformed(format!("the body is not JSON: {error}")))
}

async fn read(request: Request, limit: u64, longest_pause: Duration) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let announced = content_length(&parts.headers);
    let too_large = || Problem::new(Kind::BodyTooLarge, format!("the body may have at most {limit} bytes"));
    if announced.is_some_and(|length| length > limit) {
        // Who expects a 100 sends nothing before it; all others are sending already.
        if !parts.headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Err(too_large());
    }
    let mut kept = BytesMut::with_capacity(announced.map_or(0, |length| length.min(MAX_RESERVED) as usize));
    let mut pieces = body.into_data_stream();
    loop {
        let piece = tokio::time::timeout(longest_pause, pieces.next()).await;
        let slow = |_| Problem::new(Kind::BodyTooSlow, "the body stopped coming");
        let Some(piece) = piece.map_err(slow)? else { return Ok(kept.freeze()) };
        let broken = |_| Problem::new(Kind::BodyMalformed, "the body ended too early or its encoding is broken");
        let piece = piece.map_err(broken)?;
        if (kept.len() + piece.len()) as u64 > limit {
            drain(Body::from_stream(pieces)).await;
            return Err(too_large());
        }
        kept.extend_from_slice(&piece);
    }
}

async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut left = MAX_DRAINED;
    while let Ok(Some(Ok(piece))) = tokio::time::timeout(LONGEST_PAUSE, pieces.next()).await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn keeps_json_as_it_was_sent() {
        let text = r#" {"b": 1, "a": 12345678901234567890.10, "c": "\u0000"} "#;
        let kept = json(text.into()).unwrap().unwrap();
        assert_eq!(kept.as_str(), text.trim());
        assert!(json(" \n".into()).unwrap().is_none());
        let problem = json("{\"a\": 1,\n}".into()).unwrap_err();
        assert!(problem.is(Kind::BodyMalformed) && problem.to_string().contains("line 2 column 1"), "{problem}");
        let problem = json(Bytes::from_static(b"{\"\xff\": 1}")).unwrap_err();
        assert!(problem.to_string().contains("byte 2"), "{problem}");
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit() {
        let chunked = |size: usize| {
            let pieces = (0..size).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x")));
            Request::new(Body::from_stream(stream::iter(pieces.collect::<Vec<_>>())))
        };
        assert_eq!(read(chunked(10), 10, LONGEST_PAUSE).await.unwrap().len(), 10);
        assert!(read(chunked(11), 10, LONGEST_PAUSE).await.unwrap_err().is(Kind::BodyTooLarge));
        let announced = Request::builder().header(CONTENT_LENGTH, 11).body(Body::from("x".repeat(11))).unwrap();
        assert!(read(announced, 10, LONGEST_PAUSE).await.unwrap_err().is(Kind::BodyTooLarge));
    }

    #[tokio::test]
    async fn a_body_that_stops_coming_is_given_up() {
        let pieces = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) }).chain(stream::pending());
        let stalled = read(Request::new(Body::from_stream(pieces)), 10, Duration::from_millis(1)).await;
        assert!(stalled.unwrap_err().is(Kind::BodyTooSlow));
    }
}
