//! Registering, logging in and out, changing the password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::client_address::ClientAddress;
use super::extract::{Addressed, By, Fields, NoQuery, Search};
use super::openapi::problems;
use super::problem::Problem;
use super::views::{LoggedIn, Registered, SessionUser};
use crate::host::Host;
use crate::identity;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(change_password))
}

problems!(NotRegistered: 400, 401, 403, 404, 409, 413, 422, 429, 503);
problems!(NotLoggedIn: 400, 401, 403, 404, 413, 422, 429, 503);
problems!(NotLoggedOut: 400, 401, 403, 503);
problems!(NotChanged: 400, 401, 403, 413, 422, 429, 503);

/// Who somebody is, or wants to be.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct Credentials {
    /// Cases are not told apart; at most 254 bytes.
    #[schema(example = "ada@example.org")]
    email: String,
    /// 8 to 1024 bytes.
    #[schema(example = "correct horse battery staple")]
    password: String,
}

/// Register with a tenant: a new user with a root of its own.
#[utoipa::path(post, path = "/user/register", tag = "users", security(()),
    params(("Walker-Tenant" = Option<String>, Header, description = "The tenant; `default` when absent")),
    request_body = Credentials,
    responses((status = 201, description = "The new user.", body = Registered), NotRegistered))]
async fn register(
    State(host): State<Arc<Host>>,
    ClientAddress(from): ClientAddress,
    Addressed(tenant): Addressed,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    let (email, password) = (body.text("email"), body.text("password"));
    body.finish()?;
    let terms = host.quotas.terms(tenant).await.map_err(identity::Error::Store)?;
    if !terms.is_open {
        return Err(identity::Error::TenantSuspended.into());
    }
    let user = host.identity.register(from, tenant, &email, password).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Log in: a session of 30 days, unless the host is told otherwise.
#[utoipa::path(post, path = "/user/login", tag = "users", security(()),
    params(("Walker-Tenant" = Option<String>, Header, description = "The tenant; `default` when absent")),
    request_body = Credentials,
    responses((status = 200, description = "The session's token.", body = LoggedIn), NotLoggedIn))]
async fn login(
    State(host): State<Arc<Host>>,
    ClientAddress(from): ClientAddress,
    Addressed(tenant): Addressed,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<Json<LoggedIn>, Problem> {
    let (email, password) = (body.text("email"), body.text("password"));
    body.finish()?;
    let session = host.identity.login(from, tenant, &email, password).await?;
    Ok(Json(LoggedIn { token: session.token, user: SessionUser::new(session.user, session.expires) }))
}

/// Log out: the session's token is refused from now on.
#[utoipa::path(post, path = "/user/logout", tag = "users", security(("token" = [])),
    responses((status = 204, description = "The session has ended."), NotLoggedOut))]
async fn logout(State(host): State<Arc<Host>>, By(caller): By, _: Search<NoQuery>) -> Result<StatusCode, Problem> {
    host.identity.logout(caller.session()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The old and the new password.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct Passwords {
    old_password: String,
    /// 8 to 1024 bytes.
    new_password: String,
}

/// Change the password; all other sessions of the user end.
#[utoipa::path(post, path = "/user/change_password", tag = "users", security(("token" = [])),
    request_body = Passwords,
    responses((status = 204, description = "The new password counts."), NotChanged))]
async fn change_password(
    State(host): State<Arc<Host>>,
    ClientAddress(from): ClientAddress,
    By(caller): By,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<StatusCode, Problem> {
    let session = caller.session()?;
    let (old, new) = (body.text("old_password"), body.text("new_password"));
    body.finish()?;
    host.identity.change_password(from, session, old, new).await?;
    Ok(StatusCode::NO_CONTENT)
}
