//! What tenants have stored, by the day of the walkers it belongs to: appended by whatever stores or forgets, added up here.
//!
//! A day that is dropped takes along what it counted. Decides nothing: how much a tenant may have is asked above.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use tokio_postgres::Row;
use uuid::Uuid;
use walker_model::TenantId;

use super::deltas::Deltas;
use super::{Error, Session, Store};

/// What a walker counts beside what was put into it: what its rows and their places in indexes were measured to take.
pub(crate) const WALKER_BYTES: i64 = 600;

/// What is counted of a row in `walkers w`, `results r`, `attempts a` and `logs l`: whatever its author or caller can make
/// large. As `NewWalker::stored` and `ResultRow::stored` count it.
macro_rules! bytes_of {
    (walkers) => {
        "600 + octet_length(w.fields::text) + coalesce(octet_length(w.custom::text), 0)"
    };
    (results) => {
        concat!($crate::store::stored::bytes_of!(unlogged), " + coalesce(octet_length(r.logs::text), 0)")
    };
    // Of a result that makes room for another: its output stays.
    (unlogged) => {
        "coalesce(octet_length(r.fields::text), 0) + octet_length(r.reports::text) + coalesce(octet_length(r.custom::text), 0)"
    };
    (attempts) => {
        "coalesce(octet_length(a.logs::text), 0)"
    };
    (logs) => {
        "octet_length(l.lines::text)"
    };
}
pub(super) use bytes_of;

/// What is appended for the rows of `$of`, which have `tenant_id` and `id`. Part of the statement that commits them.
macro_rules! keep {
    ($of:literal, $bytes:literal) => {
        concat!(
            "insert into stored_deltas (tenant_id, day, bytes)
             select tenant_id, id_day(id), sum(",
            $bytes,
            ")::int8 from ",
            $of,
            " group by 1, 2 having sum(",
            $bytes,
            ") <> 0"
        )
    };
}
pub(super) use keep;

pub(super) const DELTAS: Deltas = Deltas {
    // Held also by who counts a day anew.
    lock: 0x73_746f_7265,
    add_up: "with gone as (
            delete from stored_deltas where ctid = any(array(select ctid from stored_deltas limit $1))
            returning tenant_id, day, bytes),
        added as (
            insert into stored_days as d (tenant_id, day, bytes)
            select tenant_id, day, sum(bytes) from gone group by tenant_id, day
            on conflict on constraint stored_days_pkey do update set bytes = d.bytes + excluded.bytes)
        select count(*) from gone",
};

/// One statement: what is being added up is seen on one side or on the other. A day below nothing is one on which
/// something was stored before it was counted, and forgotten since.
const STORED: &str = "
    with d as (
        select tenant_id, greatest(sum(bytes), 0) bytes
        from (select * from stored_days where tenant_id = any($1)
              union all select * from stored_deltas where tenant_id = any($1)) u
        group by tenant_id, day)
    select (coalesce((select sum(d.bytes) from d where d.tenant_id = t.id), 0)
          + coalesce((select sum(code_bytes(v.sha256)) from (
                select distinct v.sha256 from module_versions v join modules m on m.id = v.module_id
                where m.tenant_id = t.id) v), 0))::int8
    from unnest($1::int8[]) with ordinality t(id, n) order by n";

/// The day whose partitions hold a walker; SQL calls it `id_day`.
pub(super) fn day_of(id: Uuid) -> NaiveDate {
    let seconds = id.get_timestamp().map_or(0, |time| time.to_unix().0);
    DateTime::from_timestamp(i64::try_from(seconds).unwrap_or_default(), 0).unwrap_or_default().date_naive()
}

/// What is stored together, all or none, added up before it is sent: for each group, tenant and day.
pub(super) struct Sums {
    pub(super) groups: Vec<i32>,
    pub(super) tenants: Vec<i64>,
    pub(super) days: Vec<NaiveDate>,
    pub(super) bytes: Vec<i64>,
}

impl Sums {
    pub(super) fn of(rows: impl Iterator<Item = (i32, TenantId, Uuid, i64)>) -> Self {
        let mut sums = BTreeMap::new();
        for (group, tenant, id, bytes) in rows {
            *sums.entry((group, tenant.0, day_of(id))).or_insert(0) += bytes;
        }
        Self {
            groups: sums.keys().map(|(group, ..)| *group).collect(),
            tenants: sums.keys().map(|(_, tenant, _)| *tenant).collect(),
            days: sums.keys().map(|(.., day)| *day).collect(),
            bytes: sums.into_values().collect(),
        }
    }
}

impl Store {
    /// What a tenant has stored: walkers with their results and output, and the code of its modules; in bytes.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn stored(&self, tenant: TenantId) -> Result<u64, Error> {
        let rows = self.scoped(tenant).await?.query(STORED, &[&vec![tenant.0]]).await?;
        Ok(rows.iter().map(bytes).sum())
    }

    /// The same of each of these tenants, for the host itself.
    pub(crate) async fn stored_by_each(&self, tenants: &[TenantId]) -> Result<Vec<u64>, Error> {
        let client = self.client().await?;
        let statement = client.prepare_cached(STORED).await?;
        let ids: Vec<i64> = tenants.iter().map(|tenant| tenant.0).collect();
        Ok(client.query(&statement, &[&ids]).await?.iter().map(bytes).collect())
    }
}

fn bytes(row: &Row) -> u64 {
    u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)
}

/// Counts anew what is left of a tenant's day after most of it was deleted. `within_day` bounds `w.id`.
pub(super) async fn recount(session: &Session, tenant: i64, day: NaiveDate, within_day: &str) -> Result<(), Error> {
    let sql = format!(
        "with gone as (delete from stored_deltas where tenant_id = $1 and day = $2),
         w as (select w.id, {walkers} bytes from walkers w where w.tenant_id = $1 and {within_day})
         insert into stored_days (tenant_id, day, bytes)
         select $1, $2, coalesce(sum(w.bytes
             + coalesce((select {results} from results r where r.id = w.id), 0)
             + coalesce((select sum({attempts}) from attempts a where a.id = w.id), 0)
             + coalesce((select sum({logs}) from logs l where l.id = w.id), 0)), 0)::int8
         from w
         on conflict on constraint stored_days_pkey do update set bytes = excluded.bytes",
        walkers = bytes_of!(walkers),
        results = bytes_of!(results),
        attempts = bytes_of!(attempts),
        logs = bytes_of!(logs),
    );
    // Nobody adds up meanwhile: then what this statement sees is counted by it, and what it does not see stays appended.
    session.batch_execute(&format!("begin; select pg_advisory_xact_lock({})", DELTAS.lock)).await?;
    session.execute(&sql, &[&tenant, &day]).await?;
    Ok(session.batch_execute("commit").await?)
}

/// Forgets what was counted for days that are gone.
pub(crate) async fn forget_gone(session: &Session) -> Result<(), Error> {
    for table in ["stored_deltas", "stored_days"] {
        let sql = format!(
            "delete from {table} where day in (
                select day from (select distinct day from {table}) d
                where to_regclass('walkers_' || to_char(day, 'YYYYMMDD')) is null)"
        );
        session.execute(&sql, &[]).await?;
    }
    Ok(())
}

/// What there is of all walkers of a tenant, gone through row by row.
#[cfg(test)]
pub(crate) async fn gone_through(store: &Store, tenant: TenantId) -> u64 {
    let sql = format!(
        "with w as (select w.id, {} bytes from walkers w where w.tenant_id = $1)
         select (coalesce((select sum(bytes) from w), 0)
               + coalesce((select sum({}) from w join results r using (id)), 0)
               + coalesce((select sum({}) from w join attempts a using (id)), 0)
               + coalesce((select sum({}) from w join logs l using (id)), 0))::int8",
        bytes_of!(walkers),
        bytes_of!(results),
        bytes_of!(attempts),
        bytes_of!(logs),
    );
    let bytes: i64 = store.client().await.unwrap().query_one(&sql, &[&tenant.0]).await.unwrap().get(0);
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres;

    #[tokio::test]
    async fn here_and_in_sql_a_walker_is_of_the_same_day() {
        let client = test_postgres::store().await.client().await.unwrap();
        let at = |milliseconds: u64| {
            Uuid::new_v7(uuid::Timestamp::from_unix(
                uuid::NoContext,
                milliseconds / 1_000,
                (milliseconds % 1_000) as u32 * 1_000_000,
            ))
        };
        let midnight = 1_795_392_000_000;
        for id in [Uuid::now_v7(), at(midnight - 1), at(midnight), at(midnight + 1), at(midnight + 86_399_999), at(0)] {
            let row = client
                .query_one(
                    "select id_day($1), id_day(id_floor($2))",
                    &[&id, &DateTime::<chrono::Utc>::from(std::time::UNIX_EPOCH)],
                )
                .await
                .unwrap();
            assert_eq!(row.get::<_, NaiveDate>(0), day_of(id), "{id}");
        }
        assert_ne!(day_of(at(midnight - 1)), day_of(at(midnight)));
    }

    #[test]
    fn a_walker_counts_the_same_here_and_in_sql() {
        assert!(bytes_of!(walkers).starts_with(&format!("{WALKER_BYTES} + ")));
    }
}
