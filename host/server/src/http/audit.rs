//! Who changed what: a tenant's own record, and any tenant's for the operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{By, FromQuery, Operator, Params, Search, Segments};
use super::openapi::problems;
use super::page::{self, DEFAULT_LIMIT, MAX_LIMIT};
use super::problem::Problem;
use super::views::AuditPage;
use crate::host::Host;
use crate::identity::Denied;
use crate::store::Whose;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(own)).routes(routes!(of_tenant))
}

problems!(NotRead: 400, 401, 403, 503);
problems!(NotFound: 400, 401, 403, 404, 503);

/// Which changes.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only those made at or after this time (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// How many to a page, from 1 to 1000; 50 when absent.
    #[param(value_type = Option<u16>)]
    limit: u16,
    /// The cursor that came with the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Uuid>,
}

impl FromQuery for AuditQuery {
    const KNOWN: &'static [&'static str] = &["since", "limit", "cursor"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
        Ok(Self { since: params.time("since")?, limit, cursor: params.cursor()? })
    }
}

/// Look at who changed what of the key's tenant, the latest change first: for keys with scope `read`.
///
/// Changes of tenants, quotas, keys, modules, grants, users' roles and sessions, and cancels; a change and its record are
/// committed together, but for cancels, which are on record right after.
#[utoipa::path(get, path = "/audit", tag = "tenants", security(("token" = [])), params(AuditQuery),
    responses((status = 200, description = "A page of the record.", body = AuditPage), NotRead))]
async fn own(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Search(query): Search<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let account = caller.account()?.ok_or(Denied::NoTenant)?;
    page_of(&host, Whose::Tenant(account.tenant), query).await.map(Json)
}

/// Look at who changed what of a tenant, also of one that is gone, the latest change first.
#[utoipa::path(get, path = "/tenants/{tenant}/audit", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name"), AuditQuery),
    responses((status = 200, description = "A page of the record.", body = AuditPage), NotFound))]
async fn of_tenant(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments(name): Segments<String>,
    Search(query): Search<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    // Whoever is made is on record, so that nothing is known of whom there never was.
    let ever = || host.store.audit(Whose::Named(&name), None, None, 1);
    if name.contains('\0') || ever().await?.is_empty() {
        host.identity.tenant(&name).await?;
    }
    page_of(&host, Whose::Named(&name), query).await.map(Json)
}

async fn page_of(host: &Host, whose: Whose<'_>, query: AuditQuery) -> Result<AuditPage, Problem> {
    let AuditQuery { since, limit, cursor } = query;
    let records = host.store.audit(whose, since, cursor, limit + 1).await?;
    let (records, cursor) = page::cut(records, limit, |record| record.id.to_string());
    Ok(AuditPage { audit: records.into_iter().map(Into::into).collect(), cursor })
}
