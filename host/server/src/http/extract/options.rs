//! What a caller may ask of an invocation beyond its fields, in query and headers.
//!
//! Options that this host does not have yet are refused, never ignored.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use chrono::{DateTime, TimeDelta, Utc};
use walker_model::{Json, Priority};

use super::key::KeyedRequest;
use super::query::Params;
use crate::http::problem::{Kind, Problem};

/// Proxies between give up on idle connections about then.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The same as for a custom value that a walker sets.
const MAX_CUSTOM: usize = 4 << 10;

pub(super) const WALKER_CUSTOM: HeaderName = HeaderName::from_static("walker-custom");

/// What a caller asks of an invocation beyond its fields.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Becomes `schedule.custom`.
    pub(crate) custom: Option<Json>,
    /// Not before this time.
    pub(crate) execute_date: Option<DateTime<Utc>>,
    /// Its place among the tenant's own waiting walkers.
    pub(crate) priority: Option<Priority>,
    /// Answer only when it has ended, or after that long.
    pub(crate) wait: Option<Duration>,
    /// Do it once only.
    pub(crate) key: Option<KeyedRequest>,
}

/// The same for a batch, which nobody can wait for.
#[derive(Debug)]
pub(crate) struct BatchOptions(pub(crate) Options);

impl<S: Sync> FromRequestParts<S> for Options {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts, &["execute_date", "delay", "wait", "priority"])
    }
}

impl<S: Sync> FromRequestParts<S> for BatchOptions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts, &["execute_date", "delay", "priority"]).map(Self)
    }
}

fn read(parts: &Parts, known: &[&str]) -> Result<Options, Problem> {
    let params = Params::read(&parts.uri, known)?;
    let priority = params.parsed("priority")?;
    let execute_date = match (params.time("execute_date")?, params.with("delay", super::parse_duration)?) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(Kind::QueryInvalid, "give execute_date or delay, not both"));
        }
        (Some(date), None) => Some(date),
        (None, Some(delay)) => Some(after(delay)?),
        (None, None) => None,
    };
    let (wait, key) = (wait(&params)?, KeyedRequest::read(parts)?);
    Ok(Options { custom: custom(&parts.headers)?, execute_date, priority, wait, key })
}

/// How long to wait for a walker's end.
pub(crate) fn wait(params: &Params) -> Result<Option<Duration>, Problem> {
    params.with("wait", |text| {
        let wait = super::parse_duration(text)?;
        if wait > LONGEST_WAIT { Err("is at most 60s; ask again to wait longer".to_owned()) } else { Ok(wait) }
    })
}

fn after(delay: Duration) -> Result<DateTime<Utc>, Problem> {
    let date = TimeDelta::from_std(delay).ok().and_then(|delay| Utc::now().checked_add_signed(delay));
    // Beyond what a calendar holds; far beyond what may be scheduled.
    date.ok_or_else(|| Problem::new(Kind::ExecuteDateInvalid, "delay reaches more than 90 days ahead"))
}

fn custom(headers: &HeaderMap) -> Result<Option<Json>, Problem> {
    let Some(value) = headers.get(WALKER_CUSTOM) else { return Ok(None) };
    let invalid = |reason: String| Problem::new(Kind::HeaderInvalid, format!("Walker-Custom: {reason}"));
    let text = value.to_str().map_err(|_| invalid("expected ASCII; write other characters as \\u escapes".into()))?;
    if text.len() > MAX_CUSTOM {
        return Err(invalid(format!("is {} bytes long; at most {MAX_CUSTOM} are allowed", text.len())));
    }
    let json = Json::parse(text.to_owned()).map_err(|error| invalid(format!("is not JSON: {error}")))?;
    Ok(Some(json))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(query: &str, headers: &[(&str, &str)]) -> Result<Options, Problem> {
        let mut request = Request::builder().uri(format!("/walker/sample?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Options::from_request_parts(&mut request.body(()).unwrap().into_parts().0, &()).await
    }

    #[tokio::test]
    async fn reads_what_a_caller_asks_for() {
        let options = read("wait=30s&delay=90s", &[("Walker-Custom", r#"{"a":"\u00e4"}"#)]).await.unwrap();
        assert_eq!(options.wait, Some(Duration::from_secs(30)));
        assert_eq!(options.custom.unwrap().as_str(), r#"{"a":"\u00e4"}"#);
        let ahead = (options.execute_date.unwrap() - Utc::now()).num_seconds();
        assert!((88..=90).contains(&ahead), "{ahead}");
        let options = read("execute_date=2026-11-23T10:00:00Z", &[]).await.unwrap();
        assert_eq!(options.execute_date.unwrap().to_rfc3339(), "2026-11-23T10:00:00+00:00");
    }

    #[tokio::test]
    async fn refuses_what_it_cannot_do() {
        let long = format!("\"{}\"", "x".repeat(MAX_CUSTOM));
        let one = |name: &'static str, value| vec![(name, value)];
        for (query, headers, kind) in [
            ("", one("Idempotency-Key", "a b"), Kind::KeyInvalid),
            ("priority=urgent", vec![], Kind::QueryInvalid),
            ("wait=61s", vec![], Kind::QueryInvalid),
            ("wait=soon", vec![], Kind::QueryInvalid),
            ("delay=1s&execute_date=2026-11-23T10:00:00Z", vec![], Kind::QueryInvalid),
            ("delay=9999999999d", vec![], Kind::ExecuteDateInvalid),
            ("waite=1s", vec![], Kind::QueryInvalid),
            ("", one("Walker-Custom", "{"), Kind::HeaderInvalid),
            ("", one("Walker-Custom", "\u{e4}"), Kind::HeaderInvalid),
            ("", one("Walker-Custom", &long), Kind::HeaderInvalid),
        ] {
            let problem = read(query, &headers).await.unwrap_err();
            assert!(problem.is(kind), "{query} {headers:?}: {problem}");
        }
    }
}
