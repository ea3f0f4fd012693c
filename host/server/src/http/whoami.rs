//! Whom a token stands for.
//!
//! Shows no secrets: whoever asks has the token already.

use std::sync::Arc;

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{By, NoQuery, Search};
use super::openapi::problems;
use super::problem::Problem;
use super::views::WhoAmI;
use crate::host::Host;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(whoami))
}

problems!(Nobody: 400, 401, 503);

/// Whom does this token stand for?
#[utoipa::path(get, path = "/whoami", tag = "users", security(("token" = [])),
    responses((status = 200, description = "The token's kind, what it may do, and until when.", body = WhoAmI), Nobody))]
async fn whoami(By(caller): By, _: Search<NoQuery>) -> Result<Json<WhoAmI>, Problem> {
    Ok(Json(WhoAmI::new(caller)?))
}
