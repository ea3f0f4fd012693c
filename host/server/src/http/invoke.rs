//! Invoking walkers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use walker_model::{NodeId, Outcome, WalkerId, is_name};

use super::extract::{By, JsonBody, Options, REPLAYED, Segments, node_id};
use super::openapi::problems;
use super::problem::Problem;
use super::views::{Accepted, Ended};
use super::walkers::answer;
use crate::access::Actor;
use crate::aside::through;
use crate::host::{FirstLook, Host};
use crate::identity::{Caller, Denied};
use crate::invoke::{Answered, Error, Invocation, Invoked};

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(on_root)).routes(routes!(on_node))
}

problems!(Refused: 400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 504, 507);

/// What both operations take besides their path.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what Options reads")]
struct InvokeQuery {
    /// Run no earlier than this (RFC 3339); async only, at most 90 days ahead.
    execute_date: Option<String>,
    /// Run no earlier than after this long, such as `90s`; instead of execute_date.
    delay: Option<String>,
    /// Async only: answer when it has ended or after this long (at most `60s`), with the walker's full view.
    wait: Option<String>,
    /// Async only: its place among the tenant's own waiting walkers; `low`, `normal` (the default) or `high`.
    priority: Option<String>,
}

/// The same, from headers.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only describes what Options and Caller read")]
pub(super) struct InvokeHeaders {
    /// ASCII JSON of at most 4 KiB; becomes `schedule.custom`.
    #[param(rename = "Walker-Custom")]
    walker_custom: Option<String>,
    /// The tenant addressed by a call without a token; `default` when absent.
    #[param(rename = "Walker-Tenant")]
    walker_tenant: Option<String>,
    /// 1 to 255 visible ASCII characters. The same user's same key with the same request (whatever its `wait`) within 24 hours
    /// gives the first answer again (with `Idempotent-Replayed: true`), and starts nothing; with another request it is refused.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// W3C trace context.
    traceparent: Option<String>,
}

/// Invoke a walker on the caller's root.
///
/// An async walker answers as soon as it is committed, with its id and `Location`; a sync walker when it ended, with
/// its reports and its `http_status`. Without a token, only walkers that are declared public can be invoked.
#[utoipa::path(post, path = "/walker/{name}", tag = "walkers", security((), ("token" = [])),
    params(("name" = String, Path, description = "The walker's name"), InvokeQuery, InvokeHeaders),
    request_body(content = Option<Object>, description = "The walker's fields; `{}` when absent"),
    responses(
        (status = 200, description = "Accepted (async) or ended (sync).", body = inline(Answer),
            headers(
                ("Location" = String, description = "Where an async walker can be read"),
                ("Idempotent-Replayed" = String, description = "`true` when the answer was given before"))),
        Refused))]
async fn on_root(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(name): Segments<String>,
    options: Options,
    body: Request,
) -> Result<Response, Problem> {
    invoke(&host, &caller, name, None, options, body).await
}

/// Invoke a walker on a node.
///
/// As `POST /walker/{name}`, entering that node.
#[utoipa::path(post, path = "/walker/{name}/{node_id}", tag = "walkers", security((), ("token" = [])),
    params(
        ("name" = String, Path, description = "The walker's name"),
        ("node_id" = String, Path, description = "The node to enter, such as `n::018f…`"),
        InvokeQuery,
        InvokeHeaders
    ),
    request_body(content = Option<Object>, description = "The walker's fields; `{}` when absent"),
    responses(
        (status = 200, description = "Accepted (async) or ended (sync).", body = inline(Answer),
            headers(
                ("Location" = String, description = "Where an async walker can be read"),
                ("Idempotent-Replayed" = String, description = "`true` when the answer was given before"))),
        Refused))]
async fn on_node(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments((name, node)): Segments<(String, String)>,
    options: Options,
    body: Request,
) -> Result<Response, Problem> {
    invoke(&host, &caller, name, Some(node), options, body).await
}

/// What the two kinds of walkers answer with.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes the two answers together")]
enum Answer {
    Accepted(Accepted),
    Ended(Ended),
}

async fn invoke(
    host: &Arc<Host>,
    caller: &Caller,
    walker: String,
    node: Option<String>,
    options: Options,
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
    let node: Option<NodeId> = node.as_deref().map(node_id).transpose()?;
    // Nobody makes the host read a body for a walker that they may not invoke.
    if caller.is_public() {
        Box::pin(host.may_invoke(&actor, &walker)).await.map_err(refused)?;
    }
    let JsonBody(fields, room) = JsonBody::read(body, host, caller, &actor).await?;
    let Options { custom, execute_date, priority, wait, key } = options;
    let (key, fields) = match key {
        None => (None, fields),
        Some(key) => {
            let bytes = fields.as_ref().map_or(0, walker_model::Json::len);
            through(bytes, move || (Some(key.of(&actor, fields.as_ref())), fields)).await
        }
    };
    let what = Invocation { walker, node, fields, custom, execute_date, priority };
    let invoked = match key {
        None => host.invoke(&actor, what).await.map(Answered::First),
        Some(key) => Box::pin(host.invoke_once(&actor, what, key)).await,
    };
    // What was sent is stored by now, or was used: whoever waits for an end waits without it.
    drop(room);
    match invoked.map_err(refused)? {
        Answered::First(invoked) => answered(host, &actor, invoked, wait, FirstLook::AfterAWhile).await,
        Answered::Again(invoked) => {
            let mut response = match answered(host, &actor, invoked, wait, FirstLook::Now).await {
                Ok(response) => response,
                Err(problem) => problem.into_response(),
            };
            let (name, value) = REPLAYED;
            response.headers_mut().insert(name, value);
            Ok(response)
        }
    }
}

async fn answered(
    host: &Host,
    actor: &Actor,
    invoked: Invoked,
    wait: Option<Duration>,
    look: FirstLook,
) -> Result<Response, Problem> {
    let id = match invoked {
        Invoked::Ended { id, outcome } => return ended(id, *outcome),
        Invoked::Accepted(id) => id,
    };
    let location = [(LOCATION, format!("/walkers/{id}"))];
    if let Some(at_most) = wait
        && let Some(view) = Box::pin(host.wait_for_end(actor, &id, at_most, look)).await?
    {
        return Ok((location, Box::pin(answer(host, actor, view)).await).into_response());
    }
    Ok((location, Json(Accepted { status: 200, walker_id: id })).into_response())
}

fn ended(id: WalkerId, outcome: Outcome) -> Result<Response, Problem> {
    if let Some(failure) = outcome.failure() {
        return Err(Problem::walker_failed(id, failure.code, failure.message.clone()));
    }
    let status = outcome.http_status();
    let body = Ended { status, walker_id: id, reports: outcome.reports };
    Ok((carrying(status), Json(body)).into_response())
}

/// The status line for a walker's own status: 200 where HTTP would not let the reports through.
fn carrying(status: u16) -> StatusCode {
    match status {
        204 | 205 | 304 => StatusCode::OK,
        200..=599 => StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        _ => StatusCode::OK,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use walker_model::{Code, Failure, Limits, Usage};

    use super::*;

    fn outcome(status: Option<u16>, ended: walker_model::Ended) -> Outcome {
        Outcome {
            ended,
            fields: None,
            reports: vec![walker_model::Json::parse("1.10".into()).unwrap()],
            http_status: status,
            custom: None,
            usage: Usage::default(),
            limits: Limits::default(),
        }
    }

    #[tokio::test]
    async fn a_sync_walker_answers_with_its_own_status() {
        for (set, line) in [(None, 200), (Some(201), 201), (Some(404), 404), (Some(204), 200), (Some(100), 200)] {
            let id = WalkerId::new("sample");
            let response = ended(id.clone(), outcome(set, walker_model::Ended::Completed)).unwrap();
            assert_eq!(response.status().as_u16(), line, "{set:?}");
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let status = set.unwrap_or(200);
            assert_eq!(bytes, format!(r#"{{"status":{status},"walker_id":"{id}","reports":[1.10]}}"#));
        }
    }

    #[tokio::test]
    async fn a_failed_sync_walker_answers_with_a_problem() {
        let failure = Failure::new(Code::LimitTime, "it ran longer than 5 s");
        let id = WalkerId::new("sample");
        let problem = ended(id.clone(), outcome(Some(201), walker_model::Ended::Failed(failure))).unwrap_err();
        let response = problem.into_response();
        assert_eq!(response.status(), 504);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            (&body["code"], &body["walker_id"], &body["detail"]),
            (&json!("limit.time"), &json!(id.to_string()), &json!("it ran longer than 5 s"))
        );
    }
}
