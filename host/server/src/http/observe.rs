//! Around every request: its id, what log lines say of it, one line of its own.
//!
//! Logs no headers and no queries: they may hold tokens.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use tracing::Level;

use super::client_address::client_address;
use super::request_id::{self, X_REQUEST_ID};
use super::views::to_micros;
use crate::author::{self, Asked};
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
    let headers = request.headers();
    let asked = Asked {
        request_id: request_id::of(headers),
        method: request.method().clone(),
        // The template, not the path: it holds ids, and would make every line its own kind.
        route: request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned(),
        trace_id: trace_id(headers).map(str::to_owned),
        address: client_address(request.extensions(), headers, proxies),
    };
    let answer = answer(request);
    author::answer(asked, async move {
        let mut response = answer.await;
        author::with_asked(|asked| log(asked, response.status(), started.elapsed()));
        // Made of characters that fit a header, here or by the caller.
        if let Ok(value) = HeaderValue::try_from(author::request_id()) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        response
    })
    .await
}

/// Twenty thousand lines a second are nobody's reading; who wants them sets `info,walker_server::access=debug`.
fn log(Asked { method, route, .. }: &Asked, status: StatusCode, took: Duration) {
    let (status, ms) = (status.as_u16(), to_micros(took.as_secs_f64() * 1e3));
    if status >= 500 {
        tracing::event!(target: ACCESS, Level::INFO, status, ms, "{method} {route} {status}");
    } else {
        tracing::event!(target: ACCESS, Level::DEBUG, status, ms, "{method} {route} {status}");
    }
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
