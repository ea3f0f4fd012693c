//! Who calls: from the token, or, without one, whom the call addresses.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use walker_model::TenantId;

use crate::author;
use crate::host::Host;
use crate::http::problem::{Kind, Problem};
use crate::http::unread;
use crate::identity::{self, Caller, DEFAULT_TENANT, Denied};
use crate::requests::Asks;

/// Names the tenant of a call without a token.
const WALKER_TENANT: HeaderName = HeaderName::from_static("walker-tenant");

/// Who calls.
pub(crate) struct By(pub(crate) Caller);

impl FromRequestParts<Arc<Host>> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        // Whether the tenant exists is not told to somebody without a token.
        Ok(Self(caller(parts, host).await?.ok_or(Denied::NoToken)?))
    }
}

/// A key that may publish and remove modules of its tenant. Asked before a body is read.
pub(crate) struct Deployer(pub(crate) TenantId);

impl FromRequestParts<Arc<Host>> for Deployer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let By(caller) = By::from_request_parts(parts, host).await?;
        Ok(Self(caller.deployer()?))
    }
}

/// Who runs the host. Asked before anything else is looked at.
pub(crate) struct Operator;

impl FromRequestParts<Arc<Host>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let By(caller) = By::from_request_parts(parts, host).await?;
        caller.operator()?;
        Ok(Self)
    }
}

/// The tenant that somebody without a token registers with or logs in to.
pub(crate) struct Addressed(pub(crate) TenantId);

impl FromRequestParts<Arc<Host>> for Addressed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let unknown = || Problem::new(Kind::TenantNotFound, "the Walker-Tenant header names no tenant");
        let caller = caller(parts, host).await?.ok_or_else(unknown)?;
        Ok(Self(caller.actor().ok_or(Denied::NoTenant)?.tenant))
    }
}

/// Who calls, if the tenant has a request left; `None`: without a token, and addresses no tenant that there is.
async fn caller(parts: &Parts, host: &Host) -> Result<Option<Caller>, Problem> {
    let caller = match by_token(parts, host).await? {
        Some(caller) => Some(caller),
        None => public(&parts.headers, host).await?,
    };
    if let Some(caller) = &caller
        && let Some(actor) = caller.actor()
    {
        let asks = if caller.is_public() { Asks::Anybody } else { Asks::Member };
        take_request(actor.tenant, asks, host).await?;
    }
    Ok(caller)
}

/// Takes one from the requests that the tenant may make.
async fn take_request(tenant: TenantId, asks: Asks, host: &Host) -> Result<(), Problem> {
    // With the database away it may not be known how many those are; then little else can be done for it, either.
    let Ok(quotas) = host.quotas.of(tenant).await else { return Ok(()) };
    let Some(quota) = quotas.request_rate() else { return Ok(()) };
    host.requests.take(tenant, asks, quota, host.lease.serving()).map_err(|wait| {
        let detail = format!(
            "the tenant makes more than its {quota} requests a second; slow down, or have the host's operator raise its \
             quota requests_per_second"
        );
        Problem::new(Kind::TooManyRequests, detail).retry_after(identity::seconds(wait))
    })
}

/// Whom the token stands for; `None` without a token. A token that is not valid is never taken for none.
async fn by_token(parts: &Parts, host: &Host) -> Result<Option<Caller>, Problem> {
    let Some(token) = bearer(&parts.headers)? else { return Ok(None) };
    let invalid = || Problem::new(Kind::TokenInvalid, "the token is unknown, revoked or expired");
    let caller = host.identity.caller(token).await?.ok_or_else(invalid)?;
    unread::trust(&parts.extensions);
    if let Some(who) = caller.who() {
        author::is(who);
    }
    Ok(Some(caller))
}

async fn public(headers: &HeaderMap, host: &Host) -> Result<Option<Caller>, Problem> {
    let tenant = headers.get(WALKER_TENANT).map_or(Some(DEFAULT_TENANT), |value| value.to_str().ok());
    match tenant {
        Some(tenant) => Ok(host.identity.public_caller(tenant).await?),
        None => Ok(None),
    }
}

/// The token after `Bearer`, in any case (RFC 9110).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let invalid = |detail| Problem::new(Kind::TokenInvalid, detail);
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("there is more than one Authorization header"));
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(invalid("the Authorization header is not of the form `Bearer TOKEN`"));
    }
    Ok(Some(token.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bearer_tokens_only() {
        let check = |values: &[&str], expect: Result<Option<&str>, ()>| {
            let headers = values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect();
            assert_eq!(
                bearer(&headers).map_err(|problem| assert!(problem.is(Kind::TokenInvalid))),
                expect,
                "{values:?}"
            );
        };
        check(&[], Ok(None));
        check(&["Bearer wk_x"], Ok(Some("wk_x")));
        check(&["bearer  wk_x "], Ok(Some("wk_x")));
        for bad in ["", "Bearer", "Bearer ", "wk_x", "Basic dTpw", "Token wk_x"] {
            check(&[bad], Err(()));
        }
        check(&["Bearer a", "Bearer b"], Err(()));
    }
}
