//! Whether the host is alive and ready, and what it says about itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs;
use super::extract::{NoQuery, Search};
use super::openapi::{self, problems};
use super::problem::{Kind, Problem};
use super::views::Health;
use crate::host::Host;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    health_routes().routes(routes!(openapi_json)).routes(routes!(docs_page))
}

pub(super) fn health_routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Is the host alive?
#[utoipa::path(get, path = "/healthz", tag = "service", security(()),
    responses((status = 200, description = "It is.", body = Health)))]
async fn healthz(_: Search<NoQuery>) -> Json<Health> {
    Json(Health { status: "ok" })
}

problems!(NotReady: 503);

/// May the host take traffic?
#[utoipa::path(get, path = "/readyz", tag = "service", security(()),
    responses((status = 200, description = "It may.", body = Health), NotReady))]
async fn readyz(State(host): State<Arc<Host>>, _: Search<NoQuery>) -> Result<Json<Health>, Problem> {
    host.is_ready().await.map_err(|reason| Problem::new(Kind::NotReady, reason))?;
    Ok(Json(Health { status: "ready" }))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()),
    responses((status = 200, description = "OpenAPI of this host.", content_type = "application/json", body = Object)))]
async fn openapi_json() -> Response {
    openapi::answer()
}

/// This document, readable; needs no network.
#[utoipa::path(get, path = "/docs", tag = "service", security(()),
    responses((status = 200, description = "A page.", content_type = "text/html", body = String)))]
async fn docs_page() -> Response {
    docs::page()
}
