//! What walkers printed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{By, FromQuery, Params, Search, Segments, walker_id};
use super::openapi::problems;
use super::problem::{Kind, Problem};
use super::views::{LogLine, LogPage};
use crate::host::Host;
use crate::identity::Denied;

/// Lines to a page unless the caller says otherwise.
const DEFAULT_LIMIT: u16 = 1_000;

/// The most lines to a page: with the longest lines, still a few megabytes.
const MAX_LIMIT: u16 = 10_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(read))
}

problems!(NotRead: 400, 401, 403, 404, 503);

/// Which lines to read.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Only lines after this one: the last seq that was read. 0 (or absent) reads all attempts from the start.
    #[param(value_type = Option<i32>)]
    after: i32,
    /// How many lines at most, from 1 to 10000; 1000 when absent.
    #[param(value_type = Option<u16>)]
    limit: u16,
}

impl FromQuery for LogQuery {
    const KNOWN: &'static [&'static str] = &["after", "limit"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        let after = params.with("after", |text| {
            text.parse().ok().filter(|after| *after >= 0).ok_or_else(|| "expected the seq of a line".to_owned())
        })?;
        Ok(Self { after: after.unwrap_or(0), limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)? })
    }
}

/// Read what a walker printed and logged, in order; also while it runs.
#[utoipa::path(get, path = "/walkers/{walker_id}/logs", tag = "walkers", security(("token" = [])),
    params(("walker_id" = String, Path, description = "The walker's id, such as `w:sample:550e…`"), LogQuery),
    responses((status = 200, description = "Its lines.", body = LogPage), NotRead))]
async fn read(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    Search(query): Search<LogQuery>,
) -> Result<Json<LogPage>, Problem> {
    if caller.is_public() {
        return Err(Denied::NoToken.into());
    }
    let actor = caller.reader()?;
    let id = walker_id(&id)?;
    let logs = host.store.logs(&actor, &id, query.after, usize::from(query.limit)).await?;
    let logs = logs.ok_or_else(|| Problem::new(Kind::WalkerNotFound, "there is no such walker"))?;
    let lines = logs.lines.into_iter().map(|(attempt, entry)| LogLine::new(attempt, entry)).collect();
    Ok(Json(LogPage { status: 200, logs: lines, ended: logs.ended }))
}
