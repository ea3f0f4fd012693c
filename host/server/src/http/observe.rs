//! Around every request: its id, one span, one line in the log.
//!
//! Logs no headers and no queries: they may hold tokens.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument, Level};

use super::client_address::client_address;
use super::request_id::{self, X_REQUEST_ID};
use super::views::to_micros;
use crate::author;
use crate::config::Proxies;

/// The target of access lines, to be filtered by.
const ACCESS: &str = "walker_server::access";

/// Gives the request its id, answers with it, and logs how it went.
pub(super) async fn observe(
    proxies: &Proxies,
    request: Request,
    answer: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let started = Instant::now();
    let request_id = request_id::of(request.headers());
    // The template, not the path: it holds ids, and would make every line its own kind.
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", request_id, %method, route, trace_id = Empty);
    if let Some(trace_id) = trace_id(request.headers()) {
        span.record("trace_id", trace_id);
    }
    let address = client_address(request.extensions(), request.headers(), proxies);
    let answer = author::asked(request_id.clone(), address, answer(request));
    let mut response = answer.instrument(span.clone()).await;

    let status = response.status().as_u16();
    let ms = to_micros(started.elapsed().as_secs_f64() * 1e3);
    let _in_span = span.enter();
    // Twenty thousand lines a second are nobody's reading; who wants them sets `info,walker_server::access=debug`.
    if status >= 500 {
        tracing::event!(target: ACCESS, Level::INFO, status, ms, "{method} {route} {status}");
    } else {
        tracing::event!(target: ACCESS, Level::DEBUG, status, ms, "{method} {route} {status}");
    }
    // Made of characters that fit a header, here or by the caller.
    if let Ok(value) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// The trace that the caller is part of, by W3C trace context: `00-<32 hex digits>-…`.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace_id) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex(version, 2) && is_hex(trace_id, 32)).then_some(trace_id)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse;

    use super::*;
    use crate::http::problem::{Kind, Problem};

    #[test]
    fn reads_well_formed_traces_only() {
        let check = |text: &str, expect: Option<&str>| {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(trace_id(&headers), expect, "{text}");
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        check(&format!("00-{id}-00f067aa0ba902b7-01"), Some(id));
        check("00-xyz-00f067aa0ba902b7-01", None);
        check("", None);
    }

    #[tokio::test]
    async fn a_problem_names_the_request_that_had_it() {
        let request = Request::builder().uri("/").header(X_REQUEST_ID, "mine").body(Body::empty()).unwrap();
        let answer = async |_| Problem::new(Kind::Busy, "x").into_response();
        let response = observe(&Proxies::default(), request, answer).await;
        assert_eq!(response.headers()[X_REQUEST_ID], "mine");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["request_id"], "mine");
    }
}
