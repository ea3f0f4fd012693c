//! Counts a tenant's walkers that have not ended.

use tokio_postgres::Statement;
use walker_model::TenantId;

use super::{Error, HostId, Session};

/// Waiting rows come from their index, as far as anybody wants to know. Running ones have none: each host tells its own.
pub(crate) const COUNT: &str = "
select (select count(*) from (
            select 1 from queue where tenant_id = $1::int8 and owner is null limit $2::int8) waiting),
       (select coalesce(sum((running ->> $3::text)::int8), 0)::int8 from hosts where id <> $4::int4)";

/// How many of a tenant's walkers wait, at most so many, and how many run on other hosts.
pub(crate) async fn count(
    session: &Session,
    statement: &Statement,
    tenant: TenantId,
    host: HostId,
    at_most: u64,
) -> Result<(i64, i64), Error> {
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let row = session.query_one(statement, &[&tenant.0, &at_most, &tenant.0.to_string(), &host.0]).await?;
    Ok((row.get(0), row.get(1)))
}
