//! The statements of a lifecycle without a host around them: the yardstick for everything that the host does.
//!
//! They write into the host's own tables rows that the host itself once wrote, with new ids, and look them up in the host's words: what
//! was known of an empty queue must not spoil their plans either.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::database::Database;
use crate::stats::Samples;

/// Rows in a statement, and connections that send them: what was measured best for bare statements.
const BATCH: usize = 200;
const CONNECTIONS: usize = 8;

const INSERT: &str = "
with u as materialized (
    select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::int8[], $5::int4[], $6::text[], $7::uuid[], $8::uuid[], $9::json[])
        u(id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, fields)),
w as (
    insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, execute_date, fields)
    select id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, now(), fields from u)
insert into queue (id, tenant_id, execute_date, owner, attempt, claimed_at)
select id, tenant_id, now(), $10::int4, 1, now() from u";

const SAVE: &str = "
insert into checkpoints (id, tenant_id, attempt, fields, reports)
select q.id, q.tenant_id, q.attempt, u.fields, '[]' from unnest($1::uuid[], $2::json[]) u(id, fields)
join queue q on q.id = any(array[u.id]) and q.owner = $3 and q.attempt = 1";

const COMPLETE: &str = "
with d as (
    delete from queue q
    using unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::json[], $5::json[], $6::json[], $7::json[])
        u(id, root_id, executed_date, fields, reports, usage, logs)
    where q.id = any(array[u.id]) and q.owner = $8 and q.attempt = 1
    returning u.*, q.tenant_id, q.attempt),
c as (
    delete from checkpoints c using d where $9 and c.id = any(array[d.id]))
insert into results (id, tenant_id, root_id, status, attempt, http_status, executed_date, fields, reports, usage, logs)
select id, tenant_id, root_id, 2, attempt, 200, executed_date, fields, reports, usage, logs from d
returning id";

/// Which statements a lifecycle is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// Insert and complete.
    Plain,
    /// A save in between, as `sample` has it.
    Saving,
}

/// What a row holds besides its id: that of a walker which the host ran.
pub(crate) struct Model {
    host: i32,
    tenant: i64,
    walker: String,
    module: i64,
    version: i32,
    node_kind: String,
    node: Uuid,
    root: Uuid,
    executed: DateTime<Utc>,
    before: Box<RawValue>,
    after: Box<RawValue>,
    reports: Box<RawValue>,
    usage: Box<RawValue>,
    /// Null where it wrote none.
    logs: Option<Box<RawValue>>,
}

impl Model {
    /// Takes the latest walker as the model.
    pub(crate) async fn of(client: &Client) -> anyhow::Result<Self> {
        let sql = "select (select max(id) from hosts), w.tenant_id, w.walker, w.module_id, w.module_version, w.node_kind, w.node_id,
                          w.root_id, r.executed_date, w.fields, r.fields, r.reports, r.usage, r.logs
                   from walkers w join results r using (id) order by id desc limit 1";
        let row = client.query_one(sql, &[]).await.context("there is no walker to take as a model")?;
        let json = |at: usize| row.get::<_, Json<Box<RawValue>>>(at).0;
        Ok(Self {
            host: row.get(0),
            tenant: row.get(1),
            walker: row.get(2),
            module: row.get(3),
            version: row.get(4),
            node_kind: row.get(5),
            node: row.get(6),
            root: row.get(7),
            executed: row.get(8),
            before: json(9),
            after: json(10),
            reports: json(11),
            usage: json(12),
            logs: row.get::<_, Option<Json<Box<RawValue>>>>(13).map(|logs| logs.0),
        })
    }
}

/// One connection with the statements prepared.
pub(crate) struct Bare<'a> {
    client: Client,
    model: &'a Model,
    insert: Statement,
    save: Statement,
    complete: Statement,
}

impl<'a> Bare<'a> {
    /// Connects and prepares.
    pub(crate) async fn connect(database: &Database, model: &'a Model) -> anyhow::Result<Self> {
        let client = database.connect().await?;
        let insert = client.prepare(INSERT).await?;
        let save = client.prepare(SAVE).await?;
        let complete = client.prepare(COMPLETE).await?;
        Ok(Self { client, model, insert, save, complete })
    }

    /// Stores so many walkers, claimed; answers their ids.
    pub(crate) async fn insert(&self, count: usize) -> anyhow::Result<Vec<Uuid>> {
        let model = self.model;
        let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 10] = [
            &ids,
            &vec![model.tenant; count],
            &vec![&model.walker; count],
            &vec![model.module; count],
            &vec![model.version; count],
            &vec![&model.node_kind; count],
            &vec![model.node; count],
            &vec![model.root; count],
            &vec![Json(&*model.before); count],
            &model.host,
        ];
        self.client.execute(&self.insert, &values).await?;
        Ok(ids)
    }

    /// Stores what they saved.
    pub(crate) async fn save(&self, ids: &[Uuid]) -> anyhow::Result<()> {
        let fields = vec![Json(&*self.model.after); ids.len()];
        let saved = self.client.execute(&self.save, &[&ids, &fields, &self.model.host]).await?;
        ensure!(saved == ids.len() as u64, "{saved} of {} saves were written", ids.len());
        Ok(())
    }

    /// Stores how they ended.
    pub(crate) async fn complete(&self, ids: &[Uuid], lifecycle: Lifecycle) -> anyhow::Result<()> {
        let (model, count) = (self.model, ids.len());
        let written = self
            .client
            .query(
                &self.complete,
                &[
                    &ids,
                    &vec![model.root; count],
                    &vec![model.executed; count],
                    &vec![Json(&*model.after); count],
                    &vec![Json(&*model.reports); count],
                    &vec![Json(&*model.usage); count],
                    &vec![model.logs.as_deref().map(Json); count],
                    &model.host,
                    &(lifecycle == Lifecycle::Saving),
                ],
            )
            .await?;
        ensure!(written.len() == count, "{} of {count} results were written", written.len());
        Ok(())
    }

    /// So many whole lifecycles.
    pub(crate) async fn live(&self, count: usize, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let ids = self.insert(count).await?;
        if lifecycle == Lifecycle::Saving {
            self.save(&ids).await?;
        }
        self.complete(&ids, lifecycle).await
    }
}

/// Lifecycles per second over all connections, batched.
pub(crate) async fn rate(
    database: &Database,
    model: &Model,
    lifecycle: Lifecycle,
    turn: Duration,
) -> anyhow::Result<f64> {
    let connections = futures::future::try_join_all((0..CONNECTIONS).map(|_| Bare::connect(database, model))).await?;
    let began = Instant::now();
    let done = futures::future::try_join_all(connections.iter().map(|connection| async move {
        let mut done = 0;
        while began.elapsed() < turn {
            connection.live(BATCH, lifecycle).await?;
            done += BATCH;
        }
        anyhow::Ok(done)
    }));
    Ok(done.await?.iter().sum::<usize>() as f64 / began.elapsed().as_secs_f64())
}

/// How long one walker's insert takes when nothing else happens; what it leaves is completed, which is not timed.
pub(crate) async fn insert_times(bare: &Bare<'_>, turn: Duration) -> anyhow::Result<Samples> {
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < turn {
        let sent = Instant::now();
        let ids = bare.insert(1).await?;
        times.push(sent.elapsed());
        bare.complete(&ids, Lifecycle::Plain).await?;
    }
    Ok(Samples::new(times, began.elapsed()))
}

/// How long the three statements of one walker take when nothing else happens.
pub(crate) async fn lifecycle_times(bare: &Bare<'_>, turn: Duration) -> anyhow::Result<Samples> {
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < turn {
        let sent = Instant::now();
        bare.live(1, Lifecycle::Saving).await?;
        times.push(sent.elapsed());
    }
    Ok(Samples::new(times, began.elapsed()))
}
