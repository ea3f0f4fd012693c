//! HTTP: routes, what they take from requests and how they answer.
//!
//! Holds no rules of its own beyond the protocol: what may be done, and what it means, the modules it calls say.

mod docs;
mod extract;
mod invoke;
mod logs;
mod modules;
mod observe;
mod openapi;
mod page;
mod problem;
mod request_id;
mod service;
mod tenants;
mod users;
mod views;
mod walkers;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::config::Role;
use crate::host::Host;
use problem::{Kind, Problem};

/// Everything that a host of its role answers.
pub fn router(host: Arc<Host>) -> Router {
    match host.config.role {
        Role::All | Role::Api => {
            let (routes, document) = routes().split_for_parts();
            finish(routes.layer(openapi::document_layer(&document)), host)
        }
        // It runs walkers and serves nobody: only whether it is alive and ready.
        Role::Runner => finish(service::health_routes().into(), host),
    }
}

/// Every route with its part of the OpenAPI document: the two cannot differ.
fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(service::routes())
        .merge(invoke::routes())
        .merge(walkers::routes())
        .merge(logs::routes())
        .merge(modules::routes())
        .merge(users::routes())
        .merge(tenants::routes())
}

fn finish(routes: Router<Arc<Host>>, host: Arc<Host>) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        // Outermost: it also sees what the others answer.
        .layer(axum::middleware::from_fn(observe::observe))
        .with_state(host)
}

async fn not_found() -> Problem {
    Problem::new(Kind::RouteNotFound, "there is nothing at this path; GET /docs lists what there is")
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("{} does nothing here; the Allow header says what does", request.method());
    Problem::new(Kind::MethodNotAllowed, detail).into_response()
}

/// A panic in one handler is that request's fault alone.
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let cause = cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(cause, "a request's handler panicked: {cause}");
    Problem::fault().into_response()
}
