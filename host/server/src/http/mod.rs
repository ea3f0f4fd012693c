//! HTTP: routes, what they take from requests and how they answer.
//!
//! Holds no rules of its own beyond the protocol: what may be done, and what it means, the modules it calls say.

mod audit;
mod batch;
mod client_address;
pub(crate) mod connections;
mod control;
mod docs;
mod extract;
mod grants;
mod head;
mod invoke;
mod logs;
mod members;
mod modules;
mod observe;
mod openapi;
mod page;
mod problem;
mod protect;
mod request_id;
mod service;
mod surroundings;
mod tenants;
mod unread;
mod usage;
mod users;
mod views;
mod walkers;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;

use crate::config::{Config, Role};
use crate::host::Host;
use problem::{Kind, Problem};
use surroundings::Surroundings;

/// Everything that a host of its role answers.
pub fn router(host: Arc<Host>) -> Router {
    let config = host.config.clone();
    match config.role {
        Role::All | Role::Api => finish(routes().into(), &config, host),
        // It runs walkers and serves nobody: only whether it is alive and ready.
        Role::Runner => finish(service::health_routes().into(), &config, host),
    }
}

/// Every route with its part of the OpenAPI document: the two cannot differ.
fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(service::routes())
        .merge(invoke::routes())
        .merge(batch::routes())
        .merge(walkers::routes())
        .merge(control::routes())
        .merge(logs::routes())
        .merge(modules::routes())
        .merge(users::routes())
        .merge(members::routes())
        .merge(grants::routes())
        .merge(tenants::routes())
        .merge(whoami::routes())
        .merge(usage::routes())
        .merge(audit::routes())
}

/// What surrounds every request, whatever it asks for. In as few layers as can be: each costs every request several
/// allocations.
fn finish<S: Clone + Send + Sync + 'static>(routes: Router<S>, config: &Config, state: S) -> Router {
    let routes =
        routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(from_fn(surroundings::within));
    // Where nobody is named, nothing is said of other sites at all.
    let routes = match config.cors_origins.as_slice() {
        [] => routes,
        origins => routes.layer(protect::sharing(origins)),
    };
    // Outermost: it also sees what the others answer.
    routes.layer(from_fn_with_state(Arc::new(Surroundings::of(config)), surroundings::without)).with_state(state)
}

async fn not_found() -> Problem {
    Problem::new(Kind::RouteNotFound, "there is nothing at this path; GET /docs lists what there is")
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("{} does nothing here; the Allow header says what does", request.method());
    Problem::new(Kind::MethodNotAllowed, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: &str, path: &str) -> (u16, axum::http::HeaderMap, Value) {
        #[expect(clippy::panic, reason = "that is what is tested")]
        async fn panics() {
            panic!("at /home/somebody")
        }
        let routes = finish(Router::new().route("/panics", get(panics)), &Config::default(), ());
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (head, body) = routes.oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status.as_u16(), head.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn what_no_handler_answers_is_a_problem_too() {
        for (method, path, status, code) in [
            ("GET", "/nothing", 404, "route.not_found"),
            ("GET", "/panics/", 404, "route.not_found"),
            ("POST", "/panics", 405, "method.not_allowed"),
            ("GET", "/panics", 500, "host.fault"),
        ] {
            let (answered, headers, body) = ask(method, path).await;
            assert_eq!((answered, body["code"].as_str()), (status, Some(code)), "{method} {path}");
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(headers["x-request-id"].to_str().ok(), body["request_id"].as_str());
            assert_eq!(headers.get("allow").is_some(), status == 405);
            assert!(!body.to_string().contains("somebody"));
        }
    }
}
