//! What every request goes through on its way to a handler, and its answer on the way back, in order.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;

use super::problem::Problem;
use super::protect::Transport;
use super::{head, observe, protect, unread};
use crate::config::{Config, Proxies};

/// What is the same for all requests.
pub(super) struct Surroundings {
    proxies: Proxies,
    transport: Transport,
}

impl Surroundings {
    pub(super) fn of(config: &Config) -> Self {
        let transport = if config.tls.is_some() { Transport::Tls } else { Transport::Plain };
        Self { proxies: config.proxies.clone(), transport }
    }
}

/// Around everything that answers.
pub(super) async fn without(State(around): State<Arc<Surroundings>>, request: Request, next: Next) -> Response {
    observe::observe(&around.proxies, request, async |request| {
        let mut response = next.run(request).await;
        protect::protect(around.transport, response.headers_mut());
        response
    })
    .await
}

/// Around the handlers alone: a browser is told of these answers, too.
pub(super) async fn within(request: Request, next: Next) -> Response {
    if let Err(problem) = head::bound(&request) {
        return problem.into_response();
    }
    unread::drain(request, async |request| {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        answer.await.unwrap_or_else(|cause| panicked(&*cause).into_response())
    })
    .await
}

/// A panic in one handler is that request's fault alone.
fn panicked(cause: &(dyn Any + Send)) -> Problem {
    let text = cause.downcast_ref::<&str>().copied();
    let cause = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    tracing::error!(cause, "a request's handler panicked: {cause}");
    Problem::fault()
}
