//! Writes what running walkers save, fenced by their leases.

use std::collections::HashSet;

use tokio_postgres::Statement;
use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::Json;

use super::lease::Leases;
use super::{Error, Lease, Session};

/// What a run saved: its fields and everything it had reported by then.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) lease: Lease,
    pub(crate) fields: Json,
    pub(crate) reports: Json,
}

/// Also while it is to be stopped (a negative owner): what it saves until then counts.
pub(crate) const CHECKPOINT: &str = "
insert into checkpoints (id, tenant_id, attempt, fields, reports, input_bytes)
select u.id, q.tenant_id, u.attempt, u.fields, u.reports, octet_length(u.fields::text) + octet_length(u.reports::text)
from unnest($1::uuid[], $2::int4[], $3::int2[], $4::json[], $5::json[]) u(id, owner, attempt, fields, reports)
join queue q on q.id = any(array[u.id]) and abs(q.owner) = u.owner and q.attempt = u.attempt
on conflict (id) do update
    set attempt = excluded.attempt, fields = excluded.fields, reports = excluded.reports, input_bytes = excluded.input_bytes, saved_at = now()
returning id";

/// Writes all checkpoints whose lease still holds; says of each whether it was written.
pub(crate) async fn save(
    session: &mut Session,
    statement: &Statement,
    rows: &[&Checkpoint],
) -> Result<Vec<bool>, Error> {
    let leases: Leases = rows.iter().map(|row| row.lease).collect();
    let fields: Vec<Sql<&Json>> = rows.iter().map(|row| Sql(&row.fields)).collect();
    let reports: Vec<Sql<&Json>> = rows.iter().map(|row| Sql(&row.reports)).collect();
    let written = session.query(statement, &[&leases.ids, &leases.owners, &leases.attempts, &fields, &reports]).await?;
    let written: HashSet<Uuid> = written.iter().map(|row| row.get(0)).collect();
    Ok(rows.iter().map(|row| written.contains(&row.lease.id)).collect())
}
