//! Letting others of the tenant read one's walkers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use walker_model::WalkerId;

use super::extract::{By, Fields, NoQuery, Search, Segments};
use super::openapi::problems;
use super::page::{self, ByAge};
use super::problem::{Kind, Problem};
use super::views::{GrantPage, GrantView};
use crate::host::Host;
use crate::identity::{Denied, Given};

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(grant, list)).routes(routes!(revoke))
}

problems!(NotGranted: 400, 401, 403, 413, 422, 429, 503);
problems!(NotListed: 400, 401, 403, 503);
problems!(NotRevoked: 400, 401, 403, 404, 503);

/// What somebody else may read.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct NewGrant {
    /// One walker; all of the caller's root, also those to come, when absent.
    #[schema(example = "w:sample:550e8400-e29b-41d4-a716-446655440000")]
    walker_id: Option<String>,
    /// Who: a user's address, or a root.
    #[schema(example = "ada@example.org")]
    to: String,
}

/// Let another user, or another root of the tenant, read one of your walkers or all of them.
///
/// Reading is all that it allows: the walker's view, lists, logs, and `run.walker` from inside others.
#[utoipa::path(post, path = "/grants", tag = "grants", security(("token" = [])),
    request_body = NewGrant,
    responses(
        (status = 201, description = "The new grant.", body = GrantView),
        (status = 200, description = "The same was granted before.", body = GrantView),
        NotGranted))]
async fn grant(
    State(host): State<Arc<Host>>,
    By(caller): By,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<(StatusCode, Json<GrantView>), Problem> {
    let actor = caller.controller()?;
    let walker = body.optional("walker_id", |text| text.parse::<WalkerId>().map_err(|error| error.to_string()));
    let to = body.text("to");
    body.finish()?;
    Ok(match host.identity.grant(&actor, walker.as_ref(), &to).await? {
        Given::New(grant) => (StatusCode::CREATED, Json(grant.into())),
        Given::Before(grant) => (StatusCode::OK, Json(grant.into())),
    })
}

/// List what you granted and what was granted to you, oldest first.
#[utoipa::path(get, path = "/grants", tag = "grants", security(("token" = [])), params(ByAge),
    responses((status = 200, description = "A page of grants.", body = GrantPage), NotListed))]
async fn list(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Search(query): Search<ByAge>,
) -> Result<Json<GrantPage>, Problem> {
    if caller.is_public() {
        return Err(Denied::NoToken.into());
    }
    let actor = caller.reader()?;
    let grants = host.identity.grants(&actor, query.cursor, query.limit + 1).await?;
    let (grants, cursor) = page::cut(grants, query.limit, |grant| grant.id.to_string());
    Ok(Json(GrantPage { grants: grants.into_iter().map(Into::into).collect(), cursor }))
}

/// Take back what you granted, or give up what was granted to you: it counts no more from now on, on every host.
#[utoipa::path(delete, path = "/grants/{grant_id}", tag = "grants", security(("token" = [])),
    params(("grant_id" = String, Path, description = "The grant's id")),
    responses((status = 204, description = "It is gone."), NotRevoked))]
async fn revoke(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    let actor = caller.controller()?;
    let id: Uuid = id.parse().map_err(|_| Problem::new(Kind::GrantNotFound, "there is no such grant of yours"))?;
    host.identity.revoke(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
