//! What tenants used, by day: appended by whatever ends walkers, added up here.
//!
//! Decides nothing: what counts, the statements say that append.

use chrono::NaiveDate;
use walker_model::TenantId;

use super::deltas::Deltas;
use super::{Error, Store};

/// What is appended for the rows of `$of`, which have `tenant_id`. Part of the statement that commits them, so that what
/// was refused, or had gone through before, counts nothing.
macro_rules! count {
    ($of:literal, $walkers:literal, $fuel:literal, $bytes:literal) => {
        concat!(
            "insert into usage_deltas (tenant_id, day, walkers, fuel, bytes)
             select tenant_id, (now() at time zone 'utc')::date, ",
            $walkers,
            ", ",
            $fuel,
            ", ",
            $bytes,
            " from ",
            $of,
            " group by tenant_id"
        )
    };
}
pub(super) use count;

pub(super) const DELTAS: Deltas = Deltas {
    lock: 0x75_7361_6765,
    add_up: "with gone as (
            delete from usage_deltas where ctid = any(array(select ctid from usage_deltas limit $1))
            returning tenant_id, day, walkers, fuel, bytes),
        added as (
            insert into usage_days as d (tenant_id, day, walkers, fuel, bytes)
            select tenant_id, day, sum(walkers), sum(fuel), sum(bytes) from gone group by tenant_id, day
            on conflict on constraint usage_days_pkey do update
                set walkers = d.walkers + excluded.walkers, fuel = d.fuel + excluded.fuel, bytes = d.bytes + excluded.bytes)
        select count(*) from gone",
};

/// What a tenant used in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// The day, UTC.
    pub day: NaiveDate,
    /// How many walkers ended; one that is retried by hand ends again.
    pub walkers: i64,
    /// The fuel of all attempts whose end was recorded.
    pub fuel: i64,
    /// The bytes of fields, reports and output that were stored when they ended, or while they printed.
    pub bytes: i64,
}

impl Store {
    /// What a tenant used from `since` to `until`, both included; days without anything are left out.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn usage(&self, tenant: TenantId, since: NaiveDate, until: NaiveDate) -> Result<Vec<DayUsage>, Error> {
        // One statement: what is being added up is seen on one side or on the other.
        let rows = self
            .scoped(tenant)
            .await?
            .query(
                "select day, sum(walkers)::int8, sum(fuel)::int8, sum(bytes)::int8
                 from (select * from usage_days union all select * from usage_deltas) u
                 where tenant_id = $1 and day between $2 and $3
                 group by day order by day",
                &[&tenant.0, &since, &until],
            )
            .await?;
        let read = |row: &tokio_postgres::Row| DayUsage {
            day: row.get(0),
            walkers: row.get(1),
            fuel: row.get(2),
            bytes: row.get(3),
        };
        Ok(rows.iter().map(read).collect())
    }
}
