//! The OpenAPI document: what all operations share, and how it is served.
//!
//! Each operation describes itself beside its handler.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

use super::problem::{FieldError, PROBLEM_JSON, ProblemBody};

/// Answers with the document.
pub(super) fn answer() -> Response {
    /// Nothing in it changes while the host runs.
    static DOCUMENT: LazyLock<Bytes> =
        LazyLock::new(|| finished(super::routes().into_openapi()).to_json().expect("the document serialises").into());
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], DOCUMENT.clone()).into_response()
}

/// What stands around the operations.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// The document as it is served: every operation has an id of its own, every answer a request id.
fn finished(mut document: OpenApi) -> OpenApi {
    let request_id = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some("The request's id: the caller's own if one was sent, else a new one."))
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            // Handlers are named within their file only.
            if let (Some(id), Some([tag, ..])) = (&operation.operation_id, operation.tags.as_deref()) {
                operation.operation_id = Some(format!("{tag}_{id}"));
            }
            let responses = &mut operation.responses.responses;
            if responses.contains_key("401") {
                // Whose requests are told apart by tenant, they are counted.
                responses.extend([problem(429)]);
            }
            if responses.contains_key("413") {
                // Whoever reads a body reads it this way.
                responses.extend([problem(408), problem(415)]);
            }
            for response in responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.headers.insert("X-Request-Id".to_owned(), RefOr::T(request_id.clone()));
                }
            }
        }
    }
    document
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Walker Host",
        description = "Runs walkers: small programs that are uploaded as WebAssembly, enter a node, do work and report. \
            Errors are application/problem+json (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "walkers", description = "Invoke walkers and read them back"),
        (name = "modules", description = "Publish walkers"),
        (name = "users", description = "Users of a tenant"),
        (name = "grants", description = "Let others of the tenant read"),
        (name = "tenants", description = "For the operator: tenants and their keys"),
        (name = "service", description = "The host itself")
    ),
    components(schemas(ProblemBody<'_>, FieldError)),
    modifiers(&Token)
)]
struct Frame;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "An operator's token, a key of a tenant, or a user's session: random, opaque, revocable.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme.build()));
    }
}

/// Defines a type for the problems that an operation may answer with, to be named in its `responses`.
macro_rules! problems {
    ($name:ident: $($status:literal),+) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::response::Response>,
            > {
                [$($status),+].into_iter().map($crate::http::openapi::problem).collect()
            }
        }
    };
}
pub(super) use problems;

/// A problem with this status, as every operation may have it.
pub(super) fn problem(status: u16) -> (String, RefOr<utoipa::openapi::response::Response>) {
    let description = match status {
        400 => "The query, a header or the body cannot be read.",
        401 => "There is no valid token, and this needs one.",
        403 => "The token may not do this, or its tenant may store no more; the detail says what helps.",
        404 => "There is no such thing, or it belongs to somebody else.",
        408 => "The body came too slowly.",
        409 => "It exists already, or its state does not allow this; `code` says which.",
        413 => "The body is too large.",
        415 => "The body has a Content-Encoding.",
        422 => "The body or the options cannot be used; `errors` points at bad fields.",
        429 => "The tenant is over a quota, or asks too much at once; try again after `Retry-After` seconds.",
        500 => "The walker failed (`code` says how), or the host did (`host.fault`).",
        503 => "The host or its database is busy; try again after `Retry-After` seconds.",
        504 => "The walker ran out of time.",
        507 => "The walker ran out of memory or room for output.",
        _ => unreachable!("no operation documents a problem {status}"),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
    (status.to_string(), RefOr::T(response))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use walker_model::{Limits, Quotas};

    use super::*;
    use crate::http::extract::FromQuery;

    /// What the API's reference names and this host has.
    const OPERATIONS: &[&str] = &[
        "POST /walker/{name}",
        "POST /walker/{name}/{node_id}",
        "POST /walker/{name}/batch",
        "GET /walkers",
        "GET /walkers/{walker_id}",
        "GET /walkers/{walker_id}/logs",
        "DELETE /walkers/{walker_id}",
        "POST /walkers/{walker_id}/cancel",
        "POST /walkers/{walker_id}/retry",
        "POST /walkers/cancel",
        "PUT /modules/{module}",
        "GET /modules",
        "GET /modules/{module}",
        "POST /modules/{module}/activate",
        "DELETE /modules/{module}",
        "POST /user/register",
        "POST /user/login",
        "POST /user/logout",
        "POST /user/change_password",
        "GET /whoami",
        "GET /users",
        "PATCH /users/{user_id}",
        "DELETE /users/{user_id}",
        "DELETE /users/{user_id}/sessions",
        "POST /grants",
        "GET /grants",
        "DELETE /grants/{grant_id}",
        "POST /tenants",
        "GET /tenants",
        "GET /tenants/{tenant}",
        "PATCH /tenants/{tenant}",
        "DELETE /tenants/{tenant}",
        "GET /tenants/{tenant}/usage",
        "GET /tenants/{tenant}/audit",
        "GET /audit",
        "POST /tenants/{tenant}/keys",
        "GET /tenants/{tenant}/keys",
        "DELETE /tenants/{tenant}/keys/{key_id}",
        "GET /healthz",
        "GET /readyz",
        "GET /openapi.json",
        "GET /docs",
    ];

    fn document() -> Value {
        serde_json::to_value(finished(crate::http::routes().into_openapi())).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        let methods = paths.iter().flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
        });
        methods.collect()
    }

    #[test]
    fn the_document_has_exactly_the_documented_operations() {
        let document = document();
        let found: BTreeSet<_> = operations(&document).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, OPERATIONS.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn every_operation_says_what_it_does_takes_and_answers() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (name, operation) in operations(&document) {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name} has an id of its own");
            assert!(operation["summary"].is_string(), "{name} has a summary");
            assert!(operation["security"].is_array(), "{name} says whether it needs a token");
            let parameters: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
            for variable in name.split(['{', '}']).skip(1).step_by(2) {
                let is_it = |one: &&&Value| one["name"] == variable && one["in"] == "path";
                assert_eq!(parameters.iter().filter(is_it).count(), 1, "{name} describes {variable}");
            }
            for parameter in parameters {
                assert!(parameter["description"].is_string(), "{name} describes {}", parameter["name"]);
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name} can go well");
            for (status, response) in responses {
                assert!(response["headers"]["X-Request-Id"].is_object(), "{name} {status}");
                let is_problem = !status.starts_with('2');
                assert_eq!(response["content"]["application/problem+json"].is_object(), is_problem, "{name} {status}");
            }
            let needs_token = operation["security"].as_array().unwrap().iter().all(|one| one["token"].is_array());
            assert!(!needs_token || responses.contains_key("401"), "{name} refuses callers without a token");
            assert!(!needs_token || responses.contains_key("429"), "{name} counts its callers' requests");
        }
    }

    #[test]
    fn documents_exactly_the_parameters_that_are_read() {
        fn check<T: FromQuery>() {
            let documented: Vec<_> = T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
            assert_eq!(documented, T::KNOWN);
        }
        check::<crate::http::walkers::ReadQuery>();
        check::<crate::http::walkers::ListQuery>();
        check::<crate::http::logs::LogQuery>();
        check::<crate::http::usage::UsageQuery>();
        check::<crate::http::audit::AuditQuery>();
        check::<crate::http::page::ByName>();
        check::<crate::http::page::ByAge>();
        check::<crate::http::extract::NoQuery>();
    }

    #[test]
    fn every_limit_stands_in_the_document_and_on_its_page() {
        let document = document();
        let page = include_str!("../../../../docs/limits.md");
        let names = |schema: &str| -> BTreeSet<String> {
            let properties = &document["components"]["schemas"][schema]["properties"];
            properties.as_object().unwrap_or_else(|| panic!("{schema}")).keys().cloned().collect()
        };
        let usage: BTreeSet<_> = Limits::ALL.iter().map(|limit| limit.usage.to_owned()).collect();
        assert_eq!((names("Usage"), names("Limits")), (usage.clone(), usage));
        let quotas: BTreeSet<_> = Quotas::all().map(|quota| quota.name.to_owned()).collect();
        for schema in ["Quotas", "SetQuotas", "QuotaChanges"] {
            assert_eq!(names(schema), quotas, "{schema}");
        }
        for limit in Quotas::all() {
            let row = format!("| `{}` | {} | {} |", limit.name, limit.default, limit.ceiling);
            assert!(page.lines().any(|line| line.starts_with(&row)), "docs/limits.md lacks the row {row}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for rest in text.split("\"$ref\":\"#").skip(1) {
            let pointer = &rest[..rest.find('"').unwrap()];
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
