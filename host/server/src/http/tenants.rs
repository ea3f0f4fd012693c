//! For the operator: tenants, their quotas and their keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use walker_model::Quotas;

use super::extract::{Fields, NoQuery, Operator, Search, Segments};
use super::openapi::problems;
use super::page::{self, ByAge, ByName};
use super::problem::{Kind, Problem};
use super::views::{KeyPage, MadeKey, QuotasSchema, TenantPage, TenantView};
use crate::host::Host;
use crate::identity::{Scope, WantedKey};
use crate::quotas::Ceiling;
use crate::store;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default()
        .routes(routes!(create, list))
        .routes(routes!(read_one, change, delete))
        .routes(routes!(create_key, list_keys))
        .routes(routes!(delete_key))
}

problems!(NotCreated: 400, 401, 403, 409, 413, 422, 503);
problems!(NotListed: 400, 401, 403, 503);
problems!(NotFound: 400, 401, 403, 404, 503);
problems!(NoKey: 400, 401, 403, 404, 409, 413, 422, 503);
problems!(NotDeleted: 400, 401, 403, 404, 409, 503);

/// For how many days results can be kept.
const KEEP_DAYS: std::ops::RangeInclusive<i16> = 1..=3650;

/// A tenant that is wanted.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct NewTenant {
    /// A lower-case letter, then up to 62 lower-case letters, digits, `_` or `-`.
    #[schema(example = "acme")]
    name: String,
}

/// Make a tenant.
#[utoipa::path(post, path = "/tenants", tag = "tenants", security(("token" = [])),
    request_body = NewTenant,
    responses(
        (status = 201, description = "The new tenant.", body = TenantView,
            headers(("Location" = String, description = "Where it can be read"))),
        NotCreated))]
async fn create(
    State(host): State<Arc<Host>>,
    _: Operator,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<impl IntoResponse, Problem> {
    let name = body.text("name");
    body.finish()?;
    let tenant = host.identity.create_tenant(&name).await?;
    let view = TenantView::new(tenant, host.quotas.rules());
    Ok((StatusCode::CREATED, [(LOCATION, format!("/tenants/{name}"))], Json(view)))
}

/// List tenants, by name.
#[utoipa::path(get, path = "/tenants", tag = "tenants", security(("token" = [])), params(ByName),
    responses((status = 200, description = "A page of tenants.", body = TenantPage), NotListed))]
async fn list(
    State(host): State<Arc<Host>>,
    _: Operator,
    Search(query): Search<ByName>,
) -> Result<Json<TenantPage>, Problem> {
    let tenants = host.identity.tenants(query.cursor.as_deref(), query.limit + 1).await?;
    let (tenants, cursor) = page::cut(tenants, query.limit, |tenant| tenant.name.clone());
    Ok(Json(TenantPage {
        tenants: tenants.into_iter().map(|tenant| TenantView::new(tenant, host.quotas.rules())).collect(),
        cursor,
    }))
}

/// Look at one tenant.
#[utoipa::path(get, path = "/tenants/{tenant}", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, description = "The tenant.", body = TenantView), NotFound))]
async fn read_one(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
) -> Result<Json<TenantView>, Problem> {
    let tenant = host.identity.tenant(&name).await?;
    Ok(Json(TenantView::new(tenant, host.quotas.rules())))
}

/// What shall be different about a tenant.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct TenantChange {
    /// Quotas by name, each up to the operator's ceiling; null gives back the default, what is absent stays.
    #[schema(value_type = QuotasSchema, example = json!({"memory_bytes": 67_108_864, "live_walkers": null}))]
    quotas: Option<Quotas>,
    /// True: nothing new of it starts, and what waits goes on waiting; what runs finishes, everything can be read.
    suspended: Option<bool>,
    /// How many days after its end a walker can be read, from 1 to 3650; null: as the host's settings say.
    #[schema(example = 30)]
    keep_results: Option<u16>,
}

/// Suspend or resume a tenant, change its quotas and settings (JSON merge patch): for what starts from now on, on
/// every host within 5 seconds.
#[utoipa::path(patch, path = "/tenants/{tenant}", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name")),
    request_body = TenantChange,
    responses((status = 200, description = "The tenant as it is now.", body = TenantView), NoKey))]
async fn change(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<Json<TenantView>, Problem> {
    let Ceiling(ceiling) = host.quotas.rules().ceiling;
    let quotas = body.patch("quotas", |quota, value| {
        let known = || Quotas::all().map(|quota| quota.name).collect::<Vec<_>>().join(", ");
        let most = ceiling.get(quota).ok_or_else(|| format!("there is no such quota; known: {}", known()))?;
        let value = value.as_u64().ok_or("expected a whole number of at least 0, or null for the default")?;
        if value > most {
            return Err(format!("is above the operator's ceiling of {most}"));
        }
        Ok(value)
    });
    let suspended = body.flag("suspended");
    let keep_days = body.change("keep_results", |value| {
        let days = value.as_i64().and_then(|days| i16::try_from(days).ok()).filter(|days| KEEP_DAYS.contains(days));
        days.ok_or_else(|| "expected a number of days from 1 to 3650, or null for the host's own".to_owned())
    });
    body.finish()?;
    let tenant = host.identity.change_tenant(&name, &store::TenantChange { quotas, keep_days, suspended }).await?;
    host.quotas.changed(tenant.id).await;
    host.lanes.heard();
    Ok(Json(TenantView::new(tenant, host.quotas.rules())))
}

/// Delete a tenant and everything of it: walkers, results, logs, modules, users, keys.
///
/// Its tokens are refused at once (on other hosts within 5 seconds), what runs is cancelled, and the rest goes in the
/// background. Its name is free again once all of it is gone; until then it reads as `deleting`.
#[utoipa::path(delete, path = "/tenants/{tenant}", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 202, description = "It is being deleted; nothing takes that back."), NotDeleted))]
async fn delete(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    let tenant = host.identity.delete_tenant(&name).await?;
    host.quotas.changed(tenant).await;
    host.removals.look();
    tracing::info!(%tenant, "tenant {name} is being deleted");
    Ok(StatusCode::ACCEPTED)
}

/// A key that is wanted.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct NewKey {
    /// What it is for.
    #[schema(example = "ci")]
    name: String,
    /// Any of deploy, read, invoke.
    #[schema(example = json!(["deploy"]))]
    scopes: Vec<String>,
    /// How long it lives, such as `30d`, or in seconds; for ever when absent.
    #[schema(example = "30d")]
    expires_in: Option<String>,
}

/// Make a key of a tenant. Its token is shown this once.
#[utoipa::path(post, path = "/tenants/{tenant}/keys", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name")),
    request_body = NewKey,
    responses((status = 201, description = "The key.", body = MadeKey), NoKey))]
async fn create_key(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments(tenant): Segments<String>,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let tenant = host.identity.tenant(&tenant).await?;
    let wanted = WantedKey {
        name: body.text("name"),
        scopes: body.list("scopes", str::parse::<Scope>).into_iter().collect(),
        expires_in: body.duration("expires_in"),
    };
    body.finish()?;
    let made = host.identity.create_key(&tenant, wanted).await?;
    Ok((StatusCode::CREATED, Json(MadeKey { id: made.key.id, key: made.token })))
}

/// List a tenant's keys, oldest first, without their tokens.
#[utoipa::path(get, path = "/tenants/{tenant}/keys", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path, description = "The tenant's name"), ByAge),
    responses((status = 200, description = "A page of keys.", body = KeyPage), NotFound))]
async fn list_keys(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments(tenant): Segments<String>,
    Search(query): Search<ByAge>,
) -> Result<Json<KeyPage>, Problem> {
    let tenant = host.identity.tenant(&tenant).await?;
    let keys = host.identity.keys(&tenant, query.cursor, query.limit + 1).await?;
    let (keys, cursor) = page::cut(keys, query.limit, |key| key.id.to_string());
    Ok(Json(KeyPage { keys: keys.into_iter().map(Into::into).collect(), cursor }))
}

/// Remove a key: refused by this host at once, by every host within 5 seconds.
#[utoipa::path(delete, path = "/tenants/{tenant}/keys/{key_id}", tag = "tenants", security(("token" = [])),
    params(
        ("tenant" = String, Path, description = "The tenant's name"),
        ("key_id" = String, Path, description = "The key's id")
    ),
    responses((status = 204, description = "It is gone."), NotFound))]
async fn delete_key(
    State(host): State<Arc<Host>>,
    _: Operator,
    Segments((tenant, id)): Segments<(String, String)>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    let tenant = host.identity.tenant(&tenant).await?;
    let id: Uuid = id.parse().map_err(|_| Problem::new(Kind::KeyNotFound, "the tenant has no such key"))?;
    host.identity.delete_key(&tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
