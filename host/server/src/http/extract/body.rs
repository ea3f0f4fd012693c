//! Bodies: read whole, as they were sent, bounded in size.
//!
//! The content type is not looked at: `curl -d` calls everything a form.

use std::sync::Arc;

use axum::body::BodyDataStream;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use walker_model::Json;

use crate::access::Actor;
use crate::aside::through;
use crate::host::Host;
use crate::http::connections::TooSlow;
use crate::http::problem::{Kind, Problem};
use crate::http::unread;
use crate::identity::Caller;
use crate::memory::Held;
use crate::modules::{Spool, Upload};
use crate::requests::{Asks, Sender};

/// Far more than any name, address, password and list of scopes; some of these bodies come without a token.
const MAX_SMALL: u64 = 64 << 10;

/// What is reserved on the strength of an announced length alone.
const MAX_RESERVED: u64 = 64 << 10;

/// What comes of a body for nothing: the connection's own buffers hold more.
const FREE_BYTES: u64 = 4 << 10;

/// What a body holds of the memory for all of them.
pub(crate) type Room = Held<Sender>;

/// One JSON value as it was sent, `None` for an empty body; and the room that it takes, to be held for as long as any of it.
pub(crate) struct JsonBody(pub(crate) Option<Json>, pub(crate) Room);

impl JsonBody {
    /// Reads what `caller` sends.
    pub(crate) async fn read(request: Request, host: &Host, caller: &Caller, actor: &Actor) -> Result<Self, Problem> {
        let asks = if caller.is_public() { Asks::Anybody } else { Asks::Member };
        let mut room = host.bodies.hold(Sender::Of(actor.tenant, asks));
        let bytes = read(request, host.config.max_body_bytes, &mut room).await?;
        Ok(Self(through(bytes.len(), || json(bytes)).await?, room))
    }
}

/// One JSON value where nobody needs a large one; `None` for an empty body.
#[derive(Debug)]
pub(super) struct SmallJson(pub(super) Option<Json>);

impl FromRequest<Arc<Host>> for SmallJson {
    type Rejection = Problem;

    async fn from_request(request: Request, host: &Arc<Host>) -> Result<Self, Problem> {
        let limit = host.config.max_body_bytes.min(MAX_SMALL);
        Ok(Self(json(read(request, limit, &mut host.bodies.hold(Sender::OfLittle)).await?)?))
    }
}

/// A module as it is uploaded: read when there is a place for it, and never into memory.
#[derive(Debug)]
pub(crate) struct ModuleBody(Request);

impl FromRequest<Arc<Host>> for ModuleBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _host: &Arc<Host>) -> Result<Self, Problem> {
        Ok(Self(request))
    }
}

impl ModuleBody {
    /// Keeps all of it in a file.
    pub(crate) async fn receive(self, spool: &Spool, limit: u64) -> Result<Upload, Problem> {
        let full = |error: std::io::Error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an upload could not be kept");
            Problem::fault()
        };
        let mut receiving = spool.receive().await.map_err(full)?;
        let mut pieces = Pieces::of(self.0, limit)?;
        while let Some(piece) = pieces.next(receiving.bytes()).await? {
            receiving.write(&piece).await.map_err(full)?;
        }
        receiving.finish().await.map_err(full)
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

async fn read(request: Request, limit: u64, room: &mut Room) -> Result<Bytes, Problem> {
    let announced = content_length(request.headers());
    let (mut parts, body) = request.into_parts();
    let extensions = std::mem::take(&mut parts.extensions);
    let mut pieces = Pieces::of(Request::from_parts(parts, body), limit)?;
    let mut kept = BytesMut::with_capacity(announced.map_or(0, |length| length.min(MAX_RESERVED) as usize));
    while let Some(piece) = pieces.next(kept.len() as u64).await? {
        let before = (kept.len() as u64).max(FREE_BYTES);
        let after = (kept.len() + piece.len()) as u64;
        if !room.grow(after.saturating_sub(before)) {
            unread::distrust(&extensions);
            let detail = "the host has no room now for more of what is being sent to it; try again shortly";
            return Err(Problem::new(Kind::Busy, detail));
        }
        kept.extend_from_slice(&piece);
    }
    Ok(kept.freeze())
}

/// A body that comes in, held to its limits.
struct Pieces {
    stream: BodyDataStream,
    limit: u64,
}

impl Pieces {
    fn of(request: Request, limit: u64) -> Result<Self, Problem> {
        refuse_encoded(request.headers())?;
        if content_length(request.headers()).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Self { stream: request.into_body().into_data_stream(), limit })
    }

    /// The next piece after `so_far` bytes.
    async fn next(&mut self, so_far: u64) -> Result<Option<Bytes>, Problem> {
        let Some(piece) = self.stream.next().await else { return Ok(None) };
        let piece = piece.map_err(|error| match TooSlow::among(&error) {
            Some(slow) => Problem::new(Kind::BodyTooSlow, slow.to_string()),
            None => Problem::new(Kind::BodyMalformed, "the body ended too early or its encoding is broken"),
        })?;
        if so_far + piece.len() as u64 > self.limit { Err(too_large(self.limit)) } else { Ok(Some(piece)) }
    }
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("the body may have at most {limit} bytes"))
}

/// A few compressed bytes could stand for any number of others, so none are taken.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let encodings = headers.get_all(CONTENT_ENCODING).iter();
    let encoded = |value: &&axum::http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    match encodings.filter(encoded).count() {
        0 => Ok(()),
        _ => {
            Err(Problem::new(Kind::BodyEncoded, "this host takes bodies as they are; send it without Content-Encoding"))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::stream;

    use super::*;
    use crate::memory::Memory;

    async fn all(request: Request, limit: u64) -> Result<Bytes, Problem> {
        read(request, limit, &mut Memory::new(0).hold(Sender::OfLittle)).await
    }

    #[tokio::test]
    async fn only_what_comes_takes_room_and_the_first_of_it_none() {
        let sent = |size: usize| {
            let pieces = [size / 2; 2].map(|size| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; size])));
            // More is announced than ever comes.
            let request = Request::builder().header(CONTENT_LENGTH, 1 << 20);
            request.body(Body::from_stream(stream::iter(pieces))).unwrap()
        };
        let memory = Memory::new(15_000);
        let (mut one, mut other) = (memory.hold(Sender::OfLittle), memory.hold(Sender::OfLittle));
        // Of 15,000 bytes one may hold 10,000, and the first 4,096 of each body are free.
        assert_eq!(read(sent(14_096), 1 << 20, &mut one).await.unwrap().len(), 14_096);
        assert_eq!(read(sent(4_096), 1 << 20, &mut other).await.unwrap().len(), 4_096);
        assert!(read(sent(4_098), 1 << 20, &mut other).await.unwrap_err().is(Kind::Busy));
        drop(one);
        assert_eq!(read(sent(4_098), 1 << 20, &mut other).await.unwrap().len(), 4_098);
    }

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
        assert_eq!(all(chunked(10), 10).await.unwrap().len(), 10);
        assert!(all(chunked(11), 10).await.unwrap_err().is(Kind::BodyTooLarge));
        let announced = Request::builder().header(CONTENT_LENGTH, 11).body(Body::from("x".repeat(11))).unwrap();
        assert!(all(announced, 10).await.unwrap_err().is(Kind::BodyTooLarge));
    }

    #[tokio::test]
    async fn nothing_is_decompressed() {
        for (encodings, taken) in
            [(vec![], true), (vec!["Identity"], true), (vec!["gzip"], false), (vec!["identity", "br"], false)]
        {
            let request =
                encodings.iter().fold(Request::builder(), |request, value| request.header(CONTENT_ENCODING, *value));
            let read = all(request.body(Body::from("x")).unwrap(), 10).await;
            assert_eq!(read.map_err(|problem| problem.is(Kind::BodyEncoded)).is_ok(), taken, "{encodings:?}");
        }
    }
}
