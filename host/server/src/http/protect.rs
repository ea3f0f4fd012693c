//! What every answer tells a browser to be careful about, and which other sites' pages may call this host.
//!
//! Knows no route: a handler that needs something else sets its own header.

use std::time::Duration;

use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::extract::REPLAYED;
use super::request_id::X_REQUEST_ID;

/// Answers are data: nothing in them is to be run, shown in a frame, guessed at or kept.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];
/// A year, as browsers' own lists want it. Not for names below this one, of which the host knows nothing.
const ONLY_HTTPS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// How long a browser need not ask again what a page may call.
const ASKED_FOR: Duration = Duration::from_secs(3600);

/// How requests come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

/// Adds what an answer does not say itself.
pub(super) fn protect(transport: Transport, headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    if transport == Transport::Tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, ONLY_HTTPS);
    }
}

/// Lets pages of these sites call the host. Without cookies: who a caller is, its token says, which a page must have got.
pub(super) fn sharing(origins: &[HeaderValue]) -> CorsLayer {
    let own = |name: &'static str| HeaderName::from_static(name);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.to_vec()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            own("idempotency-key"),
            own("last-event-id"),
            own("traceparent"),
            own("walker-custom"),
            own("walker-tenant"),
            own(X_REQUEST_ID),
        ])
        .expose_headers([LOCATION, RETRY_AFTER, REPLAYED.0, own(X_REQUEST_ID)])
        .max_age(ASKED_FOR)
}
