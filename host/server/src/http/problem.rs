//! Every error that leaves the host: `application/problem+json` (RFC 9457), made here and nowhere else.
//!
//! What leaves is written for the caller; causes (SQL, paths, stacks) go to the log only.

mod causes;
mod kind;

use std::fmt;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use walker_model::{Code, WalkerId};

pub(crate) use kind::Kind;

use crate::author;

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which trying again may help: a database that restarts and a slot that frees take about that long.
const RETRY_SECONDS: u64 = 1;

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) struct Problem {
    what: What,
    detail: String,
    errors: Vec<FieldError>,
    walker_id: Option<WalkerId>,
    retry_seconds: u64,
}

/// What went wrong: something of ours, or a walker that failed.
#[derive(Debug, Clone, Copy)]
enum What {
    Ours(Kind),
    Walker(Code),
}

/// One field or parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where it stands in the body (RFC 6901).
    #[schema(example = "/value")]
    pub(crate) pointer: String,
    /// What is wrong with it.
    #[schema(example = "\"one\" is not of type \"integer\"")]
    pub(crate) detail: String,
}

/// Why a request was not carried out (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// A URI for this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:walker:problem:walker.not_found")]
    kind: String,
    /// The same for every problem of its kind.
    #[schema(example = "There is no such walker")]
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What happened this time.
    detail: &'a str,
    /// Stable; what programs should look at.
    #[schema(example = "walker.not_found")]
    code: &'a str,
    /// The request, as the host's log names it.
    request_id: &'a str,
    /// Which fields cannot be used, and why.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// The walker that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    walker_id: Option<&'a WalkerId>,
}

impl Problem {
    /// A problem of this kind, in words for the caller.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            what: What::Ours(kind),
            detail: detail.into(),
            errors: Vec::new(),
            walker_id: None,
            retry_seconds: RETRY_SECONDS,
        }
    }

    /// Fields that cannot be used.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [FieldError { pointer, detail }] if pointer.is_empty() => detail.clone(),
            [FieldError { pointer, detail }] => format!("{pointer}: {detail}"),
            many => format!("{} fields cannot be used; see errors", many.len()),
        };
        Self { errors, ..Self::new(Kind::FieldsInvalid, detail) }
    }

    /// A walker that failed while its caller waited.
    pub(crate) fn walker_failed(id: WalkerId, code: Code, message: String) -> Self {
        Self {
            what: What::Walker(code),
            detail: message,
            errors: Vec::new(),
            walker_id: Some(id),
            retry_seconds: RETRY_SECONDS,
        }
    }

    /// The host's own failure. What happened is in the log, under the request's id.
    pub(crate) fn fault() -> Self {
        Self::new(Kind::Fault, "the host failed to carry this out; its log has the reason under this request_id")
    }

    /// When it is known how many seconds to wait.
    pub(crate) fn retry_after(self, retry_seconds: u64) -> Self {
        Self { retry_seconds, ..self }
    }

    fn code(&self) -> &'static str {
        match self.what {
            What::Ours(kind) => kind.code(),
            What::Walker(code) => code.as_str(),
        }
    }

    fn status(&self) -> u16 {
        match self.what {
            What::Ours(kind) => kind.status(),
            What::Walker(code) => code.http_status(),
        }
    }

    fn title(&self) -> &'static str {
        match self.what {
            What::Ours(kind) => kind.title(),
            What::Walker(_) => "The walker failed",
        }
    }

    /// Whether it is one of this kind.
    #[cfg(test)]
    pub(crate) fn is(&self, kind: Kind) -> bool {
        matches!(self.what, What::Ours(ours) if ours == kind)
    }

    /// The body of an answer to the request with this id.
    pub(crate) fn to_json(&self, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("urn:walker:problem:{}", self.code()),
            title: self.title(),
            status: self.status(),
            detail: &self.detail,
            code: self.code(),
            request_id,
            errors: &self.errors,
            walker_id: self.walker_id.as_ref(),
        };
        serde_json::to_vec(&body).expect("a problem serialises")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).expect("every kind's status is one");
        let json = self.to_json(&author::request_id());
        let mut response = (status, [(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))], json).into_response();
        let headers = response.headers_mut();
        let retry_after = HeaderValue::from(self.retry_seconds);
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, retry_after);
            }
            // A walker that failed with 503 is not helped by asking its host again.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if matches!(self.what, What::Ours(_)) => {
                headers.insert(RETRY_AFTER, retry_after);
            }
            StatusCode::CONFLICT if matches!(self.what, What::Ours(Kind::KeyInProgress)) => {
                headers.insert(RETRY_AFTER, retry_after);
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn shown(problem: Problem) -> (Response<()>, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn has_the_documented_members() {
        let (head, body) = shown(Problem::new(Kind::WalkerNotFound, "there is no walker called \"sampel\"")).await;
        assert_eq!(head.status(), 404);
        assert_eq!(head.headers()["content-type"], "application/problem+json");
        assert_eq!(
            body,
            json!({
                "type": "urn:walker:problem:walker.not_found",
                "title": "There is no such walker",
                "status": 404,
                "detail": "there is no walker called \"sampel\"",
                "code": "walker.not_found",
                "request_id": "",
            })
        );
    }

    #[tokio::test]
    async fn names_bad_fields() {
        let error = |pointer: &str, detail: &str| FieldError { pointer: pointer.into(), detail: detail.into() };
        let (head, body) = shown(Problem::fields(vec![error("/value", "expected an integer")])).await;
        assert_eq!(head.status(), 422);
        assert_eq!(body["code"], "fields.invalid");
        assert_eq!(body["detail"], "/value: expected an integer");
        assert_eq!(body["errors"], json!([{"pointer": "/value", "detail": "expected an integer"}]));
        let (_, body) = shown(Problem::fields(vec![error("/a", "x"), error("/b", "y")])).await;
        assert_eq!(body["detail"], "2 fields cannot be used; see errors");
    }

    #[tokio::test]
    async fn a_failed_walker_answers_with_its_code_and_id() {
        let id = WalkerId::new("sample");
        for &code in Code::ALL {
            let (head, body) = shown(Problem::walker_failed(id.clone(), code, "it panicked".into())).await;
            assert_eq!(head.status().as_u16(), code.http_status());
            assert_eq!(body["code"], code.as_str());
            assert_eq!(body["walker_id"], id.to_string());
            assert_eq!(head.headers().get("retry-after"), None);
        }
    }

    #[tokio::test]
    async fn tells_what_to_do_next() {
        let (head, _) = shown(Problem::new(Kind::TokenInvalid, "x")).await;
        assert_eq!(head.headers()["www-authenticate"], "Bearer");
        let (head, _) = shown(Problem::new(Kind::Busy, "x")).await;
        assert_eq!((head.status().as_u16(), &head.headers()["retry-after"]), (503, &HeaderValue::from_static("1")));
        let (head, _) = shown(Problem::new(Kind::QuotaWalkers, "x")).await;
        assert_eq!((head.status().as_u16(), &head.headers()["retry-after"]), (429, &HeaderValue::from_static("1")));
    }
}
