//! What a tenant used, by day: for the operator, and for the tenant itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{NaiveDate, TimeDelta, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{By, FromQuery, Params, Search, Segments};
use super::openapi::problems;
use super::problem::Problem;
use super::views::{DayView, UsageReport};
use crate::host::Host;
use crate::identity;

/// How many days are told when nobody says since when.
const DEFAULT_DAYS: i64 = 30;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(read))
}

problems!(NotRead: 400, 401, 403, 404, 503);

/// Which days.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// The first day (UTC), such as 2026-11-01; 30 days before the last when absent.
    since: Option<NaiveDate>,
    /// The last day (UTC), included; today when absent.
    until: Option<NaiveDate>,
}

impl FromQuery for UsageQuery {
    const KNOWN: &'static [&'static str] = &["since", "until"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        let day = |name| {
            params.with(name, |text| {
                let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
                day.ok_or_else(|| format!("{text:?} is not a day; expected one such as 2026-11-23"))
            })
        };
        Ok(Self { since: day("since")?, until: day("until")? })
    }
}

/// What a tenant used: walkers that ended, fuel, and bytes stored, by day (UTC). Exact: it is counted where results are
/// committed. And how much it has stored now.
///
/// For the operator, and for the tenant's own keys with scope `read`.
#[utoipa::path(get, path = "/tenants/{tenant}/usage", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name"), UsageQuery),
    responses((status = 200, description = "The days on which anything was used.", body = UsageReport), NotRead))]
async fn read(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(name): Segments<String>,
    Search(query): Search<UsageQuery>,
) -> Result<Json<UsageReport>, Problem> {
    let tenant = match caller.account()? {
        None => host.identity.tenant(&name).await?.id,
        Some(own) if own.name == name => own.tenant,
        // Whether there is another of this name is nobody's business.
        Some(_) => return Err(identity::Error::UnknownTenant(name).into()),
    };
    let until = query.until.unwrap_or_else(|| Utc::now().date_naive());
    let since = query.since.unwrap_or_else(|| until.checked_sub_signed(TimeDelta::days(DEFAULT_DAYS)).unwrap_or(until));
    let days = host.store.usage(tenant, since, until).await?;
    let stored = host.store.stored(tenant).await?;
    Ok(Json(UsageReport::new(days.into_iter().map(DayView::from).collect(), stored)))
}
