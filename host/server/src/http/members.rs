//! The users of a tenant, for those who look after them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{By, Fields, NoQuery, Search, Segments};
use super::openapi::problems;
use super::page::{self, ByAge};
use super::problem::Problem;
use super::views::{UserPage, UserView};
use crate::host::Host;
use crate::identity::{self, Role};

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(change, delete)).routes(routes!(end_sessions))
}

problems!(NotListed: 400, 401, 403, 503);
problems!(NotChanged: 400, 401, 403, 404, 413, 422, 503);
problems!(NotFound: 400, 401, 403, 404, 503);

/// List the tenant's users, oldest first: for its administrators, and for keys with scope `read` or `deploy`.
#[utoipa::path(get, path = "/users", tag = "users", security(("token" = [])), params(ByAge),
    responses((status = 200, description = "A page of users.", body = UserPage), NotListed))]
async fn list(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Search(query): Search<ByAge>,
) -> Result<Json<UserPage>, Problem> {
    let tenant = caller.user_reader()?;
    let users = host.identity.users(tenant, query.cursor, query.limit + 1).await?;
    let (users, cursor) = page::cut(users, query.limit, |user| user.id.to_string());
    Ok(Json(UserPage { users: users.into_iter().map(Into::into).collect(), cursor }))
}

/// What shall be different about a user.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct UserChange {
    /// `none`, or `admin`: may list the tenant's users, change their roles, end their sessions and remove them.
    #[schema(example = "admin")]
    role: String,
}

/// Change a user's role, on every host within 5 seconds: for administrators, and for keys with scope `deploy`.
#[utoipa::path(patch, path = "/users/{user_id}", tag = "users", security(("token" = [])),
    params(("user_id" = String, Path, description = "The user's id")),
    request_body = UserChange,
    responses((status = 200, description = "The user as it is now.", body = UserView), NotChanged))]
async fn change(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<Json<UserView>, Problem> {
    let tenant = caller.administrator()?;
    let role = body.parsed::<Role>("role");
    body.finish()?;
    let role = role.expect("without one, there was a mistake to be told");
    let user = host.identity.change_role(tenant, user_id(&id)?, role).await?;
    Ok(Json(user.into()))
}

/// Remove a user: its sessions end, and what it granted and was granted. What it started stays the tenant's.
#[utoipa::path(delete, path = "/users/{user_id}", tag = "users", security(("token" = [])),
    params(("user_id" = String, Path, description = "The user's id")),
    responses((status = 204, description = "It is gone."), NotFound))]
async fn delete(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.administrator()?;
    host.identity.delete_user(tenant, user_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all sessions of a user: refused by this host at once, by every host within 5 seconds.
#[utoipa::path(delete, path = "/users/{user_id}/sessions", tag = "users", security(("token" = [])),
    params(("user_id" = String, Path, description = "The user's id")),
    responses((status = 204, description = "They have ended."), NotFound))]
async fn end_sessions(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.administrator()?;
    host.identity.end_sessions(tenant, user_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id names nobody.
fn user_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| identity::Error::UnknownUser.into())
}
