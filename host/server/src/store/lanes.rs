//! Lanes: one for each tenant, walker and priority, and which of them hold walkers that are due.
//!
//! Chooses nothing: from which lanes how many are taken, `queue::lanes` says.

use std::collections::HashMap;

use tokio_postgres::Statement;
use tokio_postgres::types::Json as Sql;
use walker_model::{Priority, TenantId};

use super::tenants::SetTerms;
use super::{Error, Session, Store};

/// The number of a lane; 0 is that of walkers which nobody has put into one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(crate) i32);

/// What a lane stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) tenant: TenantId,
    pub(crate) walker: String,
    pub(crate) priority: Priority,
}

/// Hops from lane to lane through the index, so that half a million walkers in one cost no more than a single one.
/// Lane 0 has no row: it holds what hosts of an earlier version queued.
pub(crate) const DUE: &str = "
with recursive l(lane, due) as (
    (select lane, execute_date from queue where owner is null order by lane, execute_date limit 1)
    union all
    select n.lane, n.due from l cross join lateral (
        select q.lane, q.execute_date due from queue q
        where q.owner is null and q.lane > l.lane order by q.lane, q.execute_date limit 1) n)
select l.lane, coalesce(s.tenant_id, 0), coalesce(s.walker, ''), coalesce(s.priority, 0::int2), coalesce(t.quotas, '{}'),
       t.suspended_at is null and t.deleting_since is null
from l left join lanes s on s.id = l.lane left join tenants t on t.id = s.tenant_id
where l.due <= now()";

/// All lanes that hold walkers which are due, and what their tenants may do.
pub(crate) async fn due(session: &Session, statement: &Statement) -> Result<Vec<(LaneId, Lane, SetTerms)>, Error> {
    let rows = session.query(statement, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        let lane = Lane {
            tenant: TenantId(row.try_get(1)?),
            walker: row.try_get(2)?,
            priority: Priority::from_code(row.try_get(3)?),
        };
        let Sql(quotas) = row.try_get(4)?;
        Ok((LaneId(row.try_get(0)?), lane, SetTerms { quotas, is_open: row.try_get(5)? }))
    };
    rows.iter().map(read).collect()
}

/// How many of each of a tenant's walkers run now and count towards a limit.
pub(crate) async fn running(session: &Session, tenant: TenantId) -> Result<HashMap<String, u32>, Error> {
    let rows = session
        .query(
            "select coalesce(l.walker, ''), least(count(*), 2147483647)::int4
             from queue q left join lanes l on l.id = q.lane
             where q.tenant_id = $1 and q.owner is not null and q.limited
             group by 1",
            &[&tenant.0],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i32>(1).unsigned_abs())).collect())
}

impl Store {
    /// The lane's number; made when it is new.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub(crate) async fn lane(&self, lane: &Lane) -> Result<LaneId, Error> {
        let client = self.client().await?;
        // Never without an end: whoever takes the name between the two steps has committed when the conflict is seen.
        loop {
            let row = client
                .query_opt(
                    "with known as (
                        select id from lanes where tenant_id = $1 and walker = $2 and priority = $3),
                     made as (
                        insert into lanes (tenant_id, walker, priority) select $1, $2, $3 where not exists (select from known)
                        on conflict on constraint lanes_key do nothing returning id)
                     select id from known union all select id from made",
                    &[&lane.tenant.0, &lane.walker, &lane.priority.code()],
                )
                .await?;
            if let Some(row) = row {
                return Ok(LaneId(row.get(0)));
            }
        }
    }
}
