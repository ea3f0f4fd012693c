//! The `Idempotency-Key` header, and what makes two requests the same.
//!
//! Everything that what is done depends on is hashed: method, path, query, custom value and body, byte for byte. Only for how
//! long to wait for it does not count: a client that was cut off while it waited asks again without.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Uri};
use sha2::{Digest, Sha256};
use walker_model::Json;

use super::options::WALKER_CUSTOM;
use crate::access::Actor;
use crate::http::problem::{Kind, Problem};
use crate::store::keys::Key;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Tells that an answer was given before.
pub(crate) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

/// More than any key needs.
const MAX_KEY: usize = 255;

/// A caller's key, and all of its request but the body.
#[derive(Debug, Clone)]
pub(crate) struct KeyedRequest {
    key: String,
    head: Sha256,
}

impl KeyedRequest {
    /// Reads the header, if there is one.
    pub(super) fn read(parts: &Parts) -> Result<Option<Self>, Problem> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let invalid = |detail: &str| Problem::new(Kind::KeyInvalid, format!("Idempotency-Key: {detail}"));
        if values.next().is_some() {
            return Err(invalid("is given twice"));
        }
        let bytes = value.as_bytes();
        if !(1..=MAX_KEY).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(invalid("expected 1 to 255 visible ASCII characters, without spaces"));
        }
        let key = String::from_utf8_lossy(bytes).into_owned();
        let target = target(&parts.uri);
        let custom = parts.headers.get(WALKER_CUSTOM).map_or(&b""[..], HeaderValue::as_bytes);
        let head = [parts.method.as_str().as_bytes(), target.as_bytes(), custom].iter().fold(Sha256::new(), add);
        Ok(Some(Self { key, head }))
    }

    /// The key of `actor` for a request with this body. Users of one tenant do not meet in their keys.
    pub(crate) fn of(self, actor: &Actor, body: Option<&Json>) -> Key {
        let key = [actor.root.as_bytes().as_slice(), self.key.as_bytes()].iter().fold(Sha256::new(), add);
        let body = add(self.head, &body.map_or(&b""[..], |body| body.as_str().as_bytes()));
        Key { tenant: actor.tenant, key_hash: key.finalize().into(), body_hash: body.finalize().into() }
    }
}

/// The path and what the query asks for.
fn target(uri: &Uri) -> String {
    let asks = uri.query().unwrap_or_default().split('&').filter(|ask| !is_wait(ask)).collect::<Vec<_>>().join("&");
    if asks.is_empty() { uri.path().to_owned() } else { format!("{}?{asks}", uri.path()) }
}

fn is_wait(ask: &str) -> bool {
    ask.split('=').next() == Some("wait")
}

/// With its length, so that no two lists of parts look alike.
fn add(hash: Sha256, part: &&[u8]) -> Sha256 {
    hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use uuid::Uuid;
    use walker_model::TenantId;

    use super::*;
    use crate::access::Reach;

    fn read(uri: &str, headers: &[(&str, &str)]) -> Result<Option<KeyedRequest>, Problem> {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        KeyedRequest::read(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn keys_are_visible_ascii() {
        let check = |key: &str, expect: bool| {
            let read = read("/walker/a", &[("Idempotency-Key", key)]);
            assert_eq!(read.is_ok_and(|key| key.is_some()), expect, "{key:?}");
        };
        check("a", true);
        check("~!\"#%&/()=", true);
        check(&"x".repeat(255), true);
        for bad in ["", "a b", "\u{e4}", &"x".repeat(256)] {
            check(bad, false);
        }
        assert!(read("/walker/a", &[]).unwrap().is_none());
        let twice = read("/walker/a", &[("Idempotency-Key", "a"), ("Idempotency-Key", "a")]).unwrap_err();
        assert!(twice.is(Kind::KeyInvalid), "{twice}");
    }

    #[test]
    fn requests_are_the_same_when_all_of_them_is() {
        let actor = Actor { tenant: TenantId(1), root: Uuid::nil(), reach: Reach::Root };
        let of = |uri: &str, custom: &str, body: Option<&str>, actor: &Actor| {
            let request = read(uri, &[("Idempotency-Key", "k"), ("Walker-Custom", custom)]).unwrap().unwrap();
            request.of(actor, body.map(|body| Json::parse(body.into()).unwrap()).as_ref())
        };
        let first = of("/walker/a?delay=1s", "1", Some("{}"), &actor);
        assert_eq!(of("/walker/a?delay=1s", "1", Some("{}"), &actor), first);
        for other in [
            of("/walker/b?delay=1s", "1", Some("{}"), &actor),
            of("/walker/a?delay=2s", "1", Some("{}"), &actor),
            of("/walker/a?delay=1s", "2", Some("{}"), &actor),
            of("/walker/a?delay=1s", "1", Some("{ }"), &actor),
            of("/walker/a?delay=1s", "1", None, &actor),
        ] {
            assert_eq!(other.key_hash, first.key_hash);
            assert_ne!(other.body_hash, first.body_hash);
        }
        // How long to wait is no part of it, wherever it stands.
        for same in ["/walker/a?delay=1s&wait=5s", "/walker/a?wait=1s&delay=1s", "/walker/a?wait=5s&delay=1s&wait=6s"] {
            assert_eq!(of(same, "1", Some("{}"), &actor), first, "{same}");
        }
        let plain = of("/walker/a", "1", Some("{}"), &actor);
        assert_eq!(of("/walker/a?wait=5s", "1", Some("{}"), &actor), plain);
        assert_ne!(of("/walker/a?waits=5s", "1", Some("{}"), &actor), plain);
        let user = Actor { root: Uuid::max(), ..actor };
        assert_ne!(of("/walker/a?delay=1s", "1", Some("{}"), &user).key_hash, first.key_hash);
    }
}
