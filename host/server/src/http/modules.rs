//! Publishing modules, looking at them, switching versions, removing them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{By, Deployer, Fields, ModuleBody, NoQuery, Search, Segments};
use super::openapi::problems;
use super::page::{self, ByName};
use super::problem::{Kind, Problem};
use super::views::{ModuleAnswer, ModulePage};
use crate::host::Host;

pub(super) fn routes() -> OpenApiRouter<Arc<Host>> {
    OpenApiRouter::default().routes(routes!(publish, read_one, delete)).routes(routes!(list)).routes(routes!(activate))
}

problems!(NotPublished: 400, 401, 403, 408, 409, 413, 422, 429, 503);
problems!(NotListed: 400, 401, 403, 503);
problems!(NotFound: 400, 401, 403, 404, 503);
problems!(NotActivated: 400, 401, 403, 404, 409, 422, 503);

/// Publish a module: check it, compile it, and make it the version that new invocations run.
#[utoipa::path(put, path = "/modules/{module}", tag = "modules", security(("token" = [])),
    params(("module" = String, Path, description = "The module's name")),
    request_body(content = Vec<u8>, content_type = "application/wasm",
        description = "A component of the world in `guest-sdk/wit`, or a core module built against it"),
    responses(
        (status = 201, description = "A new version is published.", body = ModuleAnswer),
        (status = 200, description = "The active version has these bytes already.", body = ModuleAnswer),
        NotPublished))]
async fn publish(
    State(host): State<Arc<Host>>,
    Deployer(tenant): Deployer,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
    body: ModuleBody,
) -> Result<(StatusCode, Json<ModuleAnswer>), Problem> {
    let expected = host.expect_module(tenant, &name).await?;
    let upload = body.receive(host.spool(), expected.most_bytes()).await?;
    let published = host.publish(tenant, &name, expected, upload).await?;
    let status = if published.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ModuleAnswer { status: status.as_u16(), module: published.module.into() })))
}

/// List the tenant's modules, by name.
#[utoipa::path(get, path = "/modules", tag = "modules", security(("token" = [])), params(ByName),
    responses((status = 200, description = "A page of modules.", body = ModulePage), NotListed))]
async fn list(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Search(query): Search<ByName>,
) -> Result<Json<ModulePage>, Problem> {
    let tenant = caller.module_reader()?;
    // A tenant has few modules, so they are read whole and cut here.
    let after = query.cursor.unwrap_or_default();
    let modules = host.modules(tenant).await?.into_iter().filter(|module| module.name > after);
    let (modules, cursor) = page::cut(modules.collect(), query.limit, |module| module.name.clone());
    Ok(Json(ModulePage { status: 200, modules: modules.into_iter().map(Into::into).collect(), cursor }))
}

/// Look at one module: versions, digests, walkers, fields, docs.
#[utoipa::path(get, path = "/modules/{module}", tag = "modules", security(("token" = [])),
    params(("module" = String, Path, description = "The module's name")),
    responses((status = 200, description = "The module.", body = ModuleAnswer), NotFound))]
async fn read_one(
    State(host): State<Arc<Host>>,
    By(caller): By,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
) -> Result<Json<ModuleAnswer>, Problem> {
    let tenant = caller.module_reader()?;
    let unknown = || Problem::new(Kind::ModuleNotFound, format!("there is no module called {name:?}"));
    let module = host.module(tenant, &name).await?.ok_or_else(unknown)?;
    Ok(Json(ModuleAnswer { status: 200, module: module.into() }))
}

/// Which version to run.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only describes the body")]
struct Activate {
    #[schema(example = 2)]
    version: i32,
}

/// Roll back or forward: new invocations run that version at once, on every host.
#[utoipa::path(post, path = "/modules/{module}/activate", tag = "modules", security(("token" = [])),
    params(("module" = String, Path, description = "The module's name")),
    request_body = Activate,
    responses((status = 200, description = "The module as it is now.", body = ModuleAnswer), NotActivated))]
async fn activate(
    State(host): State<Arc<Host>>,
    Deployer(tenant): Deployer,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
    mut body: Fields,
) -> Result<Json<ModuleAnswer>, Problem> {
    let version = body.integer("version");
    body.finish()?;
    let module = host.activate_module(tenant, &name, version).await?;
    Ok(Json(ModuleAnswer { status: 200, module: module.into() }))
}

/// Stop new invocations of a module's walkers. What runs finishes; results stay readable.
#[utoipa::path(delete, path = "/modules/{module}", tag = "modules", security(("token" = [])),
    params(("module" = String, Path, description = "The module's name")),
    responses((status = 204, description = "It is gone."), NotFound))]
async fn delete(
    State(host): State<Arc<Host>>,
    Deployer(tenant): Deployer,
    Segments(name): Segments<String>,
    _: Search<NoQuery>,
) -> Result<StatusCode, Problem> {
    host.delete_module(tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
