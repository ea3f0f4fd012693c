//! Attempts after which another one follows: a guest that asked for retries, hosts that died, a caller's retry.
//!
//! Knows no policy but what a statement must decide under its lock: how many failures there were.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Statement;
use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{Code, Failure, Json, Priority, WalkerId};

use super::complete::Used;
use super::lanes::LaneId;
use super::lease::Leases;
use super::stored::{bytes_of, keep};
use super::usage::count;
use super::{Error, Lease, Parameter, Session, Store};
use crate::access::Actor;

/// The attempts of `q` since somebody last retried it by hand.
macro_rules! attempts_since_retry {
    ($code:literal) => {
        concat!(
            "(select count(*) from attempts a where a.id = q.id and a.code ",
            $code,
            " and a.attempt > coalesce((select max(b.attempt) from attempts b where b.id = q.id and b.was_result), 0))"
        )
    };
}

/// How many of them a host lost.
pub(super) const LOSSES: &str = attempts_since_retry!("= 'host.lost'");

/// What an author allows a failed walker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    /// How often it may be tried again.
    pub(crate) times: u32,
    /// Before the first retry; doubled before each further one.
    pub(crate) backoff: Duration,
    /// The longest pause.
    pub(crate) max_backoff: Duration,
}

/// An attempt that failed, and may be followed by another.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) lease: Lease,
    pub(crate) root: Uuid,
    pub(crate) started: DateTime<Utc>,
    pub(crate) failure: Failure,
    pub(crate) usage: Json,
    pub(crate) fuel: u64,
    /// Lines not stored elsewhere.
    pub(crate) logs: Option<Json>,
    pub(crate) retry: Retry,
}

/// Pauses are spread between a half and the whole, so that what failed together does not come back together.
pub(crate) const AGAIN: &str = concat!(
    "with u as materialized (
        select * from unnest($1::uuid[], $2::int4[], $3::int2[], $4::int4[], $5::float8[], $6::float8[], $7::uuid[], $8::timestamptz[],
                             $9::text[], $10::text[], $11::json[], $12::json[], $13::json[],
                             $14::int8[], $15::int8[])
            u(id, owner, attempt, retries, backoff, max_backoff, root_id, started, code, error, failure, usage, logs, used_fuel, used_bytes)),
     n as materialized (select q.*, ",
    attempts_since_retry!("<> 'host.lost'"),
    " failures from u q),
     q as (
        update queue q
        set owner = null, claimed_at = null,
            execute_date = now() + make_interval(secs => least(n.backoff * 2.0 ^ least(n.failures, 60), n.max_backoff) * (0.5 + random() / 2))
        from n where q.id = any(array[n.id]) and q.owner = n.owner and q.attempt = n.attempt and n.failures < n.retries
        returning n.*, q.tenant_id),
     c as (",
    count!("q", "0", "sum(used_fuel)", "sum(used_bytes)"),
    "),
     s as (",
    keep!("q", "used_bytes"),
    ")
     insert into attempts (id, attempt, tenant_id, root_id, host, started, code, error, failure, usage, logs)
     select id, attempt, tenant_id, root_id, owner, started, code, error, failure, usage, logs from q
     returning id"
);

/// Has each tried again whose lease holds and whose retries are not used up; says which.
pub(crate) async fn again(
    session: &mut Session,
    statement: &Statement,
    rows: &[&FailedAttempt],
) -> Result<Vec<bool>, Error> {
    let leases: Leases = rows.iter().map(|row| row.lease).collect();
    let times: Vec<i32> = rows.iter().map(|row| i32::try_from(row.retry.times).unwrap_or(i32::MAX)).collect();
    let backoffs: Vec<f64> = rows.iter().map(|row| row.retry.backoff.as_secs_f64()).collect();
    let longest: Vec<f64> = rows.iter().map(|row| row.retry.max_backoff.as_secs_f64()).collect();
    let roots: Vec<Uuid> = rows.iter().map(|row| row.root).collect();
    let started: Vec<DateTime<Utc>> = rows.iter().map(|row| row.started).collect();
    let codes: Vec<&str> = rows.iter().map(|row| row.failure.code.as_str()).collect();
    // Postgres text cannot hold NUL, and a guest's message may.
    let errors: Vec<String> = rows.iter().map(|row| row.failure.message.replace('\0', "\u{fffd}")).collect();
    let failures: Vec<Sql<&Failure>> = rows.iter().map(|row| Sql(&row.failure)).collect();
    let usages: Vec<Sql<&Json>> = rows.iter().map(|row| Sql(&row.usage)).collect();
    let logs: Vec<Option<Sql<&Json>>> = rows.iter().map(|row| row.logs.as_ref().map(Sql)).collect();
    let used: Vec<Used> = rows.iter().map(|row| Used::new(row.fuel, &[row.logs.as_ref()])).collect();
    let used_fuel: Vec<i64> = used.iter().map(|used| used.fuel).collect();
    let used_bytes: Vec<i64> = used.iter().map(|used| used.bytes).collect();
    let written = session
        .query(
            statement,
            &[
                &leases.ids,
                &leases.owners,
                &leases.attempts,
                &times,
                &backoffs,
                &longest,
                &roots,
                &started,
                &codes,
                &errors,
                &failures,
                &usages,
                &logs,
                &used_fuel,
                &used_bytes,
            ],
        )
        .await?;
    let written: std::collections::HashSet<Uuid> = written.iter().map(|row| row.get(0)).collect();
    Ok(rows.iter().map(|row| written.contains(&row.lease.id)).collect())
}

/// Has those of `orphans` that are still in the queue claimed by live hosts; each loses an attempt. Says how many.
pub(crate) async fn free(session: &Session, orphans: &[Uuid], failure: &Failure) -> Result<u64, Error> {
    let freed = session
        .execute(
            "with o as materialized (
                select id, owner, claimed_at from queue where id = any($4)),
             q as (
                update queue q set owner = null, claimed_at = null from o
                where q.id = any(array[o.id])
                returning q.tenant_id, q.attempt, o.*),
             a as (
                insert into attempts (id, attempt, tenant_id, root_id, host, started, code, error, failure)
                select q.id, q.attempt, q.tenant_id, w.root_id, q.owner, q.claimed_at, $1, $2, $3
                from q cross join lateral (select root_id from walkers w where w.id = q.id offset 0) w
                on conflict do nothing)
             select id from q",
            &[&failure.code.as_str(), &failure.message, &Sql(failure), &orphans],
        )
        .await?;
    Ok(freed)
}

/// What became of a walker that was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// It waits to be tried again.
    Waiting,
    /// Its lease is lost, or it has been lost too often.
    NotAgain,
}

impl Store {
    /// Gives a walker back after a fault of this host, to be tried again after `pause`, unless hosts failed it
    /// `max_losses` times by then.
    pub(crate) async fn release(&self, lease: Lease, pause: Duration, max_losses: i64) -> Result<Released, Error> {
        let failure = Failure::new(Code::HostLost, "the host could not run it");
        let client = self.client().await?;
        let statement = client
            .prepare_cached(&format!(
                "with o as materialized (select id, claimed_at from queue where id = $1),
                 q as (
                    update queue q set owner = null, claimed_at = null, execute_date = now() + make_interval(secs => $4)
                    from o
                    where q.id = $1 and q.owner = $2 and q.attempt = $3 and {LOSSES} + 1 < $5
                    returning q.id, q.tenant_id, q.attempt, o.claimed_at)
                 insert into attempts (id, attempt, tenant_id, root_id, host, started, code, error, failure)
                 select q.id, q.attempt, q.tenant_id, w.root_id, $2, q.claimed_at, $6, $7, $8
                 from q cross join lateral (select root_id from walkers w where w.id = q.id offset 0) w"
            ))
            .await?;
        let released = client
            .execute(
                &statement,
                &[
                    &lease.id,
                    &lease.owner.0,
                    &lease.attempt,
                    &pause.as_secs_f64(),
                    &max_losses,
                    &failure.code.as_str(),
                    &failure.message,
                    &Sql(&failure),
                ],
            )
            .await?;
        Ok(if released == 1 { Released::Waiting } else { Released::NotAgain })
    }

    /// A walker's place among those of its tenant; `None`: there is no such walker within reach.
    pub(crate) async fn priority(&self, actor: &Actor, id: &WalkerId) -> Result<Option<Priority>, Error> {
        let sql = "select priority from walkers w
                   where w.id = $1 and w.walker = $2 and w.tenant_id = $3 and ($4::uuid is null or w.root_id = $4)";
        let root = actor.readable_root();
        let values: [Parameter<'_>; 4] = [&id.uuid, &id.name, &actor.tenant.0, &root];
        let row = self.scoped(actor.tenant).await?.query_opt(sql, &values).await?;
        Ok(row.map(|row| Priority::from_code(row.get(0))))
    }

    /// Puts a failed or cancelled walker back into the queue, in this lane, to go on from its last save. `false`: there is no such
    /// walker within reach, or it did not end like that.
    pub(crate) async fn retry(&self, actor: &Actor, id: &WalkerId, lane: LaneId) -> Result<bool, Error> {
        // One statement: no reader ever sees the walker without either. Who never began has no attempt to keep. The code
        // is read off the text: `->>` fails on a message that holds \u0000.
        let sql = format!(
            "with r as (
                    delete from results r using walkers w
                    where r.id = $1 and w.id = $1 and w.walker = $2 and w.tenant_id = $3 and ($4::uuid is null or w.root_id = $4)
                      and r.status in (3, 4)
                    returning r.*, octet_length(w.fields::text) + coalesce(octet_length(w.custom::text), 0) input_bytes),
                 a as (
                    insert into attempts (id, attempt, tenant_id, root_id, started, ended, code, error, failure, usage, logs, was_result)
                    select id, attempt, tenant_id, root_id, executed_date, finished_at, coalesce(substring(failure::text from '^\\{{\"code\":\"([a-z.]+)\"'), 'guest.error'), error,
                           failure, usage, logs, true
                    from r where attempt > 0
                    on conflict (id, attempt) do update set was_result = true),
                 k as (
                    insert into checkpoints (id, tenant_id, attempt, fields, reports, input_bytes)
                    select id, tenant_id, attempt, fields, saved, octet_length(fields::text) + octet_length(saved::text)
                    from r cross join lateral (
                        select coalesce(json_agg(x.report order by x.n), '[]') saved
                        from json_array_elements(r.reports) with ordinality x(report, n) where x.n <= r.saved_reports) s
                    where saved_reports is not null and fields is not null
                    on conflict (id) do update
                        set attempt = excluded.attempt, fields = excluded.fields, reports = excluded.reports, input_bytes = excluded.input_bytes, saved_at = now()),
                 s as (
                    insert into stored_deltas (tenant_id, day, bytes)
                    select r.tenant_id, id_day(r.id), -({unlogged}) from r)
                 insert into queue (id, tenant_id, lane, execute_date, attempt, input_bytes)
                 select id, tenant_id, $5::int4, now(), attempt, input_bytes from r",
            unlogged = bytes_of!(unlogged),
        );
        let root = actor.readable_root();
        let values: [Parameter<'_>; 5] = [&id.uuid, &id.name, &actor.tenant.0, &root, &lane.0];
        Ok(self.scoped(actor.tenant).await?.execute(&sql, &values).await? == 1)
    }
}
