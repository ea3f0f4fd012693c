//! Cancelling, retrying and forgetting walkers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use walker_model::{Status, is_name};

use super::extract::{By, Fields, NoQuery, Search, Segments, walker_id};
use super::openapi::problems;
use super::problem::Problem;
use super::views::{Accepted, Cancelled};
use crate::control::Cancel;
use crate::host::Host;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default()
        .routes(routes!(cancel))
        .routes(routes!(cancel_all))
        .routes(routes!(retry))
        .routes(routes!(forget))
}

problems!(NotChanged: 400, 401, 403, 404, 409, 503);
problems!(NotRetried: 400, 401, 403, 404, 409, 429, 503);
problems!(NotCancelled: 400, 401, 403, 413, 422, 503);

/// Cancel a walker: pending, it never runs; running, it is stopped at once, also when it spins.
///
/// It keeps its last saved fields, its reports and its log, and ends as `cancelled`.
#[utoipa::path(post, path = "/walkers/{walker_id}/cancel", tag = "walkers", security(("token" = [])),
    params(("walker_id" = String, Path, description = "The walker's id, such as `w:sample:550e…`")),
    responses((status = 202, description = "It is being cancelled, and ends in no other way.", body = Accepted,
        headers(("Location" = String, description = "Where it can be read"))), NotChanged))]
async fn cancel(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
) -> Result<Response, Problem> {
    let actor = caller.controller()?;
    let id = walker_id(&id)?;
    host.cancel(&actor, &id).await?;
    Ok(under_way(id))
}

/// Which walkers to cancel.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct CancelBody {
    /// Only those of this name.
    name: Option<String>,
    /// Only the pending or only the running ones.
    #[schema(example = "pending")]
    status: Option<String>,
    /// Only those accepted before this time.
    before: Option<DateTime<Utc>>,
}

/// Cancel all walkers within reach that match and were accepted before this call.
#[utoipa::path(post, path = "/walkers/cancel", tag = "walkers", security(("token" = [])),
    request_body = CancelBody,
    responses((status = 200, description = "How many were cancelled.", body = Cancelled), NotCancelled))]
async fn cancel_all(
    State(host): State<Arc<Host>>,
    By(caller): By,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<Json<Cancelled>, Problem> {
    let actor = caller.controller()?;
    let name = body.optional("name", |text| {
        if is_name(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} cannot be a walker's name")) }
    });
    let status = body.optional("status", |text| match text.parse()? {
        live @ (Status::Pending | Status::Running) => Ok(live),
        ended => Err(format!("what is {ended} has ended; expected pending or running")),
    });
    let before = body.optional("before", |text| {
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
        time.map_err(|_| format!("{text:?} is not a time; expected RFC 3339, such as 2026-11-23T10:00:00Z"))
    });
    body.finish()?;
    let cancelled = host.cancel_all(&actor, Cancel { name, status, before }).await?;
    Ok(Json(Cancelled { cancelled }))
}

/// Run a failed or cancelled walker again: a new attempt, from its last saved fields. After a thousand attempts there is no other.
#[utoipa::path(post, path = "/walkers/{walker_id}/retry", tag = "walkers", security(("token" = [])),
    params(("walker_id" = String, Path, description = "The walker's id, such as `w:sample:550e…`")),
    responses((status = 202, description = "It waits to run.", body = Accepted,
        headers(("Location" = String, description = "Where it can be read"))), NotRetried))]
async fn retry(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
) -> Result<Response, Problem> {
    let actor = caller.controller()?;
    let id = walker_id(&id)?;
    host.retry(&actor, &id).await?;
    Ok(under_way(id))
}

/// Forget an ended walker: its fields, its record and its log.
#[utoipa::path(delete, path = "/walkers/{walker_id}", tag = "walkers", security(("token" = [])),
    params(("walker_id" = String, Path, description = "The walker's id, such as `w:sample:550e…`")),
    responses((status = 204, description = "It is gone."), NotChanged))]
async fn forget(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    let actor = caller.controller()?;
    host.forget(&actor, &walker_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asked for and as good as done; readers see it in a moment.
fn under_way(walker_id: walker_model::WalkerId) -> Response {
    let location = [(LOCATION, format!("/walkers/{walker_id}"))];
    (StatusCode::ACCEPTED, location, Json(Accepted { status: 202, walker_id })).into_response()
}
