//! Invoking many walkers at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use walker_model::is_name;

use super::extract::{BatchOptions, By, JsonBody, Options, REPLAYED, Segments};
use super::invoke::InvokeHeaders;
use super::openapi::problems;
use super::problem::{FieldError, Kind, Problem};
use super::views::AcceptedBatch;
use crate::aside::through;
use crate::host::Host;
use crate::identity::Denied;
use crate::invoke::{Answered, Error, Invocation};

/// As many as go into one statement well; the body's size bounds them, too.
const MAX_WALKERS: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(batch))
}

problems!(Refused: 400, 401, 403, 404, 409, 413, 422, 429, 500, 503);

/// What may be asked of all of them.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what BatchOptions reads")]
struct BatchQuery {
    /// Run no earlier than this (RFC 3339), at most 90 days ahead.
    execute_date: Option<String>,
    /// Run no earlier than after this long, such as `90s`; instead of execute_date.
    delay: Option<String>,
    /// `low`, `normal` (when absent) or `high`: their place among the tenant's own pending walkers.
    priority: Option<String>,
}

/// What is to be invoked.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    /// The fields of each, 1 to 1,000.
    #[serde(borrow)]
    #[schema(value_type = Vec<Object>)]
    walkers: Vec<&'a RawValue>,
}

/// Invoke an async walker many times at once, all or none.
///
/// The ids come in the order of the fields. Fields that cannot be used are pointed at as `/walkers/3/value`.
#[utoipa::path(post, path = "/walker/{name}/batch", tag = "walkers", security((), ("token" = [])),
    params(("name" = String, Path, description = "The walker's name"), BatchQuery, InvokeHeaders),
    request_body = inline(Batch),
    responses(
        (status = 200, description = "All are accepted.", body = AcceptedBatch,
            headers(("Idempotent-Replayed" = String, description = "`true` when the answer was given before"))),
        Refused))]
async fn batch(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(walker): Segments<String>,
    BatchOptions(options): BatchOptions,
    body: Request,
) -> Result<Response, Problem> {
    let actor = caller.invoker()?;
    // Without a token, a walker that exists looks like one that does not.
    let refused = |error| match error {
        Error::UnknownWalker(_) | Error::NotPublic(_) if caller.is_public() => Denied::NoToken.into(),
        error => Problem::from(error),
    };
    if !is_name(&walker) {
        return Err(refused(Error::UnknownWalker(walker)));
    }
    // Nobody makes the host read a body for a walker that they may not invoke.
    if caller.is_public() {
        host.may_invoke(&actor, &walker).await.map_err(refused)?;
    }
    let JsonBody(body, _room) = JsonBody::read(body, &host, &caller, &actor).await?;
    let Options { custom, execute_date, priority, key, .. } = options;
    let bytes = body.as_ref().map_or(0, walker_model::Json::len);
    let read =
        move || (key.map(|key| key.of(&actor, body.as_ref())), fields(body.as_ref().map_or("", |body| body.as_str())));
    let (key, fields) = through(bytes, read).await;
    let fields = fields?;
    let what = Invocation { walker, node: None, fields: None, custom, execute_date, priority };
    Ok(match host.invoke_batch(&actor, what, fields, key).await.map_err(refused)? {
        Answered::First(walker_ids) => Json(AcceptedBatch { status: 200, walker_ids }).into_response(),
        Answered::Again(walker_ids) => ([REPLAYED], Json(AcceptedBatch { status: 200, walker_ids })).into_response(),
    })
}

/// The fields of each walker, as they were sent.
fn fields(body: &str) -> Result<Vec<walker_model::Json>, Problem> {
    let wrong =
        |pointer: &str, detail: String| Problem::fields(vec![FieldError { pointer: pointer.to_owned(), detail }]);
    let batch: Batch<'_> = serde_json::from_str(body)
        .map_err(|error| wrong("", format!("expected {{\"walkers\": [{{fields}}, …]}}: {error}")))?;
    let count = batch.walkers.len();
    if !(1..=MAX_WALKERS).contains(&count) {
        return Err(wrong("/walkers", format!("holds {count} walkers; from 1 to {MAX_WALKERS} are accepted at once")));
    }
    let parse = |text: &&RawValue| walker_model::Json::parse(text.get().to_owned());
    let fields: Result<_, _> = batch.walkers.iter().map(parse).collect();
    fields.map_err(|error| Problem::new(Kind::BodyMalformed, format!("the body is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_walkers_fields_as_they_were_sent() {
        let read = fields(r#"{"walkers": [{"a": 1.10}, {}]}"#).unwrap();
        let texts: Vec<&str> = read.iter().map(|fields| fields.as_str()).collect();
        assert_eq!(texts, [r#"{"a": 1.10}"#, "{}"]);
        let many = format!("{{\"walkers\": [{}]}}", vec!["{}"; 1_001].join(","));
        for (body, expect) in [
            ("", "expected {\"walkers\""),
            ("{}", "missing field `walkers`"),
            (r#"{"walkers": {}}"#, "expected a sequence"),
            (r#"{"walkers": [], "more": 1}"#, "unknown field `more`"),
            (r#"{"walkers": []}"#, "holds 0 walkers"),
            (&many, "holds 1001 walkers"),
        ] {
            let problem = fields(body).unwrap_err();
            assert!(problem.is(Kind::FieldsInvalid) && problem.to_string().contains(expect), "{problem}");
        }
    }
}
