//! Drops days whose walkers nobody needs any more, and what is left over in others.
//!
//! Decides nothing: which day may go, and when, `queue/retention` says.

use chrono::NaiveDate;

use super::{Error, Session, stored};

/// Rows in one statement: it holds locks and a snapshot for as long as it takes.
pub(crate) const BATCH: i64 = 1_000;

/// What a tenant has in a day: whether all of it may go, and whether it will by tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) tenant: i64,
    pub(crate) is_over: bool,
    pub(crate) is_over_tomorrow: bool,
}

/// What stands in the way of dropping a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Whether walkers of that day have not ended.
    pub(crate) is_queued: bool,
    pub(crate) tenants: Vec<Holding>,
}

/// A statement's bounds on the ids of a day: `{column} >= … and {column} < …`, written out so that Postgres sees the one
/// partition when it plans.
fn within_day(column: &str, day: NaiveDate) -> String {
    let bound = |day: NaiveDate| format!("id_floor('{day} 00:00:00+00'::timestamptz)");
    let next = day.succ_opt().expect("the calendar goes on");
    format!("{column} >= {} and {column} < {}", bound(day), bound(next))
}

/// The partition of `parent` for a day.
fn partition(parent: &str, day: NaiveDate) -> String {
    format!("{parent}_{}", day.format("%Y%m%d"))
}

/// The partitioned tables, `results` first: a walker whose result cannot be seen can no longer be retried.
async fn parents(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "select relname::text from pg_class where relkind = 'p' and relnamespace = current_schema()::regnamespace
               order by relname <> 'results', relname";
    Ok(session.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// The days that some tenant's period has passed for at least, oldest first. `default_days` counts for tenants with none
/// of their own.
pub(crate) async fn old_days(session: &Session, default_days: i32) -> Result<Vec<NaiveDate>, Error> {
    let sql = "
        with keep as (select coalesce(min(coalesce(keep_days, $1::int4)), $1::int4) days from tenants),
        days as (
            select to_date(right(c.relname, 8), 'YYYYMMDD') as day
            from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'walkers'::regclass)
        select day from days, keep where day + 1 + keep.days <= (now() at time zone 'utc')::date order by day";
    Ok(session.query(sql, &[&default_days]).await?.iter().map(|row| row.get(0)).collect())
}

/// All days that there are, oldest first.
pub(crate) async fn days(session: &Session) -> Result<Vec<NaiveDate>, Error> {
    let sql = "select to_date(right(c.relname, 8), 'YYYYMMDD') from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = 'walkers'::regclass order by 1";
    Ok(session.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// What stands in a day. A tenant's period begins with the end of its last walker of that day: one that was put off for
/// two months is not gone as soon as it has run.
pub(crate) async fn contents(session: &Session, day: NaiveDate, default_days: i32) -> Result<Contents, Error> {
    let sql = format!(
        "select r.tenant_id, r.until <= now(), r.until <= now() + interval '1 day'
         from (
            select r.tenant_id, max(r.finished_at) + make_interval(days => coalesce(min(t.keep_days), $1::int4)) until
            from results r left join tenants t on t.id = r.tenant_id where {} group by r.tenant_id) r",
        within_day("r.id", day)
    );
    let rows = session.query(&sql, &[&default_days]).await?;
    let tenants = rows
        .iter()
        .map(|row| Holding { tenant: row.get(0), is_over: row.get(1), is_over_tomorrow: row.get(2) })
        .collect();
    Ok(Contents { is_queued: is_queued(session, day).await?, tenants })
}

async fn is_queued(session: &Session, day: NaiveDate) -> Result<bool, Error> {
    let sql = format!("select exists (select 1 from queue where {})", within_day("id", day));
    Ok(session.query_one(&sql, &[]).await?.get(0))
}

/// Drops a day. `false`: one of its walkers was queued again meanwhile, so that it stays.
///
/// No statement on any other day waits: a partition is detached while others read and write the table. What is
/// interrupted on the way is taken up by [`clear_leftovers`].
pub(crate) async fn drop_day(session: &Session, day: NaiveDate) -> Result<bool, Error> {
    let parents = parents(session).await?;
    for parent in &parents {
        let part = partition(parent, day);
        if !is_attached(session, &part).await? {
            continue;
        }
        session.batch_execute(&format!("alter table {parent} detach partition {part} concurrently")).await?;
        if parent == "results" && is_queued(session, day).await? {
            let bounds = format!("from (id_floor('{day} 00:00:00+00')) to (id_floor('{} 00:00:00+00'))", next(day));
            session.batch_execute(&format!("alter table {parent} attach partition {part} for values {bounds}")).await?;
            return Ok(false);
        }
    }
    for parent in &parents {
        session.batch_execute(&format!("drop table if exists {}", partition(parent, day))).await?;
    }
    Ok(true)
}

fn next(day: NaiveDate) -> NaiveDate {
    day.succ_opt().expect("the calendar goes on")
}

async fn is_attached(session: &Session, part: &str) -> Result<bool, Error> {
    let sql = "select exists (select 1 from pg_inherits where inhrelid = to_regclass($1))";
    Ok(session.query_one(sql, &[&part]).await?.get(0))
}

/// Finishes what an earlier host began: partitions half detached, and detached ones not yet dropped. Answers how many.
pub(crate) async fn clear_leftovers(session: &Session) -> Result<usize, Error> {
    let parents = parents(session).await?;
    let halves = session
        .query(
            "select p.relname::text, c.relname::text
             from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
             where i.inhdetachpending and p.relname::text = any($1)",
            &[&parents],
        )
        .await?;
    for half in &halves {
        let (parent, part): (&str, &str) = (half.get(0), half.get(1));
        session.batch_execute(&format!("alter table {parent} detach partition {part} finalize")).await?;
    }
    // Only of days whose `walkers` are on their way out, or gone: `results` alone may be put back by `drop_day`.
    let loose = session
        .query(
            "select c.relname::text from pg_class c, unnest($1::text[]) parent
             where c.relkind = 'r' and not c.relispartition and c.relnamespace = current_schema()::regnamespace
               and c.relname ~ ('^' || parent || '_[0-9]{8}$')",
            &[&parents],
        )
        .await?;
    for table in &loose {
        let table: &str = table.get(0);
        session.batch_execute(&format!("drop table {table}")).await?;
    }
    Ok(halves.len() + loose.len())
}

/// Deletes what a tenant has in a day that others keep, a batch at a time; walkers that have not ended stay. Answers how
/// many are gone.
pub(crate) async fn delete_of(session: &Session, day: NaiveDate, tenant: i64) -> Result<u64, Error> {
    let sides: String = parents(session)
        .await?
        .iter()
        .filter(|parent| *parent != "walkers")
        .map(|parent| {
            format!(
                "{parent}_gone as (delete from {parent} p using w where p.id = any(array[w.id]) and {}), ",
                within_day("p.id", day)
            )
        })
        .collect();
    // In the order of ids, from where the last batch ended: what was deleted before is not read again.
    let sql = format!(
        "with w as materialized (
            select w.id from walkers w
            where w.tenant_id = $1 and w.id > $2 and {day} and not exists (select 1 from queue q where q.id = w.id)
            order by w.id limit $3),
         {sides}
         gone as (delete from walkers p using w where p.id = any(array[w.id]) and {walkers_day} returning p.id)
         select (select count(*) from gone), (select id from w order by id desc limit 1), (select count(*) from w)",
        day = within_day("w.id", day),
        walkers_day = within_day("p.id", day),
    );
    let statement = session.prepare(&sql).await?;
    let (mut after, mut deleted) = (uuid::Uuid::nil(), 0);
    loop {
        let row = session.query_one(&statement, &[&tenant, &after, &BATCH]).await?;
        deleted += row.get::<_, i64>(0) as u64;
        match row.get::<_, Option<uuid::Uuid>>(1) {
            Some(last) if row.get::<_, i64>(2) == BATCH => after = last,
            _ => break,
        }
    }
    stored::recount(session, tenant, day, &within_day("w.id", day)).await?;
    Ok(deleted)
}

/// Removes checkpoints whose walkers have ended: left by a statement that was sent again, and whose first copy came late.
pub(crate) async fn delete_orphans(session: &Session) -> Result<u64, Error> {
    let sql = "delete from checkpoints k
               where k.saved_at < now() - interval '1 hour' and not exists (select 1 from queue q where q.id = k.id)";
    Ok(session.execute(sql, &[]).await?)
}
