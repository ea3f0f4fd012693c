//! Reading walkers back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use walker_model::{Status, is_name};

use super::extract::{By, FromQuery, Params, Search, Segments, wait, walker_id};
use super::openapi::problems;
use super::page::{self, DEFAULT_LIMIT, MAX_LIMIT};
use super::problem::{Kind, Problem};
use super::views::{Walker, WalkerAnswer, WalkerPage};
use crate::access::Actor;
use crate::host::{FirstLook, Host};
use crate::identity::Denied;
use crate::store::{ListFilter, WalkerView};

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(read_one)).routes(routes!(list))
}

problems!(NotRead: 400, 401, 403, 404, 503);
problems!(NotListed: 400, 401, 403, 503);

/// How to read one walker.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// Answer when it has ended or after this long, at most `60s`.
    #[param(value_type = Option<String>, example = "30s")]
    wait: Option<Duration>,
}

impl FromQuery for ReadQuery {
    const KNOWN: &'static [&'static str] = &["wait"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        Ok(Self { wait: wait(params)? })
    }
}

/// Read a walker: its fields, its execution record and how it was run.
#[utoipa::path(get, path = "/walkers/{walker_id}", tag = "walkers", security((), ("token" = [])),
    params(
        ("walker_id" = String, Path, description = "The walker's id, such as `w:sample:550e…`"),
        ("Walker-Tenant" = Option<String>, Header, description = "The tenant addressed by a call without a token"),
        ReadQuery
    ),
    responses((status = 200, description = "The walker.", body = WalkerAnswer), NotRead))]
async fn read_one(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(id): Segments<String>,
    Search(query): Search<ReadQuery>,
) -> Result<Json<WalkerAnswer>, Problem> {
    let actor = caller.reader()?;
    // Without a token, a walker that exists looks like one that does not.
    let unknown = || match caller.is_public() {
        true => Denied::NoToken.into(),
        false => Problem::new(Kind::WalkerNotFound, "there is no such walker"),
    };
    let id = walker_id(&id).map_err(|_| unknown())?;
    let view = match query.wait {
        Some(at_most) => host.wait_for_end(&actor, &id, at_most, FirstLook::Now).await?,
        None => host.readers.walker(&actor, &id).await?,
    };
    Ok(answer(&host, &actor, view.ok_or_else(unknown)?).await)
}

/// A walker's full view.
pub(super) async fn answer(host: &Host, actor: &Actor, view: WalkerView) -> Json<WalkerAnswer> {
    let backtrace = host.backtrace(actor.tenant, &view).await;
    Json(WalkerAnswer { status: 200, walker: Walker::new(view, &backtrace) })
}

/// Which walkers to list.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those of this name.
    name: Option<String>,
    /// Only those with this status: pending, running, completed, failed or cancelled.
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    /// Only those accepted at or after this time (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// How many to a page, from 1 to 1000; 50 when absent.
    #[param(value_type = Option<u16>)]
    limit: u16,
    /// The cursor that came with the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Uuid>,
}

impl FromQuery for ListQuery {
    const KNOWN: &'static [&'static str] = &["name", "status", "since", "limit", "cursor"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        Ok(Self {
            name: params.with("name", |text| match is_name(text) {
                true => Ok(text.to_owned()),
                false => Err("expected a walker's name".to_owned()),
            })?,
            status: params.parsed("status")?,
            since: params.time("since")?,
            limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
            cursor: params.cursor()?,
        })
    }
}

/// List walkers, newest first. Backtraces stand in the single walker's view only.
#[utoipa::path(get, path = "/walkers", tag = "walkers", security(("token" = [])), params(ListQuery),
    responses((status = 200, description = "A page of walkers.", body = WalkerPage), NotListed))]
async fn list(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Search(query): Search<ListQuery>,
) -> Result<Json<WalkerPage>, Problem> {
    if caller.is_public() {
        return Err(Denied::NoToken.into());
    }
    let actor = caller.reader()?;
    let ListQuery { name, status, since, limit, cursor: before } = query;
    // One more than the page, to know whether there is a next one.
    let filter = ListFilter { name, status, since, limit: limit + 1, before };
    let views = host.store.walkers(&actor, &filter).await?;
    let (views, cursor) = page::cut(views, limit, |view| view.id.uuid.to_string());
    // Resolving hundreds of stacks would take longer than anybody waits for a list.
    let walkers = views.into_iter().map(|view| Walker::new(view, &[])).collect();
    Ok(Json(WalkerPage { status: 200, walkers, cursor }))
}
