//! Connections that speak for tenants: as a role that row-level security binds, in transactions that name the tenant.
//! Whatever a statement asks for, it sees no row of another one.
//!
//! Decides nothing about who may see what within a tenant; the statements do.

use deadpool_postgres::Transaction;
use futures::FutureExt as _;
use tokio_postgres::{Client, Row, Statement};
use walker_model::TenantId;

use super::{Error, Parameter, Session, Store};

/// For statements whose best plan depends on their values.
pub(super) const OWN_PLAN: &str = "set local plan_cache_mode = force_custom_plan;";
/// For those among them that find their first rows by going through an index in its order. Of a day's tables nothing is known until
/// they are analysed, and of row-level security the planner thinks that hardly a row passes it: it would fetch all and sort them.
pub(super) const IN_ORDER: &str = "set local plan_cache_mode = force_custom_plan; set local enable_sort = off;
    set local enable_bitmapscan = off;";
/// For all others again.
const ONE_PLAN: &str = "set local plan_cache_mode = force_generic_plan; set local enable_sort = on;
    set local enable_bitmapscan = on";

/// A connection that speaks for one tenant.
pub(super) struct Scoped {
    client: deadpool_postgres::Client,
    tenant: TenantId,
    /// What else is set for the transaction.
    settings: &'static str,
}

impl Store {
    /// A connection that speaks for this tenant. Never held across a run.
    pub(super) async fn scoped(&self, tenant: TenantId) -> Result<Scoped, Error> {
        Ok(Scoped { client: self.tenants.get().await?, tenant, settings: "" })
    }

    /// A new connection, set up for the queue's statements, that speaks for tenants by way of [`query`].
    pub(crate) async fn scoped_session(&self, purpose: &str) -> Result<Session, Error> {
        let session = self.queue_session(purpose).await?;
        session.batch_execute(&self.role.take_on()).await?;
        Ok(session)
    }
}

impl Scoped {
    /// The same, for statements whose best plan depends on their values.
    pub(super) fn with_own_plan(self) -> Self {
        Self { settings: OWN_PLAN, ..self }
    }

    /// Sends one statement in a transaction of its own, and puts the connection back.
    pub(super) async fn query(self, sql: &str, values: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let statement = self.client.prepare_cached(sql).await?;
        let begin = begin(self.tenant, self.settings);
        let rows = round_trip(&self.client, &begin, self.client.query(&statement, values)).await?;
        Store::put_back(self.client, &rows);
        Ok(rows)
    }

    /// The same with a statement that answers one row at most.
    pub(super) async fn query_opt(self, sql: &str, values: &[Parameter<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values).await?.pop())
    }

    /// The same with a statement that answers only how many rows it changed.
    pub(super) async fn execute(self, sql: &str, values: &[Parameter<'_>]) -> Result<u64, Error> {
        let statement = self.client.prepare_cached(sql).await?;
        let begin = begin(self.tenant, self.settings);
        round_trip(&self.client, &begin, self.client.execute(&statement, values)).await
    }

    /// Reads what there is at one moment with more than one statement.
    pub(super) fn moment(&self) -> Moment<'_> {
        let begin = format!("begin isolation level repeatable read read only; {};", scope(self.tenant));
        Moment { client: &self.client, begin: Some(begin), is_open: false }
    }

    /// Puts the connection back after an answer.
    pub(super) fn put_back(self, answer: &[Row]) {
        Store::put_back(self.client, answer);
    }

    /// A transaction of more than one statement.
    pub(super) async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let transaction = self.client.transaction().await?;
        transaction.batch_execute(&scope(self.tenant)).await?;
        Ok(transaction)
    }
}

/// Statements that read what there is at one moment. The transaction begins with the first of them and ends with the last.
pub(super) struct Moment<'a> {
    client: &'a deadpool_postgres::Client,
    /// What is still to be sent before the first.
    begin: Option<String>,
    is_open: bool,
}

impl Moment<'_> {
    /// With a plan made for these values under `settings`, if there are any.
    pub(super) async fn query(
        &mut self,
        settings: &str,
        sql: &str,
        values: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.send(settings, sql, values, if settings.is_empty() { "" } else { ONE_PLAN }).await
    }

    /// The last one.
    pub(super) async fn finish(mut self, sql: &str, values: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let rows = self.send("", sql, values, "commit").await?;
        self.is_open = false;
        Ok(rows)
    }

    async fn send(
        &mut self,
        before: &str,
        sql: &str,
        values: &[Parameter<'_>],
        after: &str,
    ) -> Result<Vec<Row>, Error> {
        let client = self.client;
        let statement = client.prepare_cached(sql).await?;
        self.is_open = true;
        let before = self.begin.take().unwrap_or_default() + before;
        let also = async |sql: &str| if sql.is_empty() { Ok(()) } else { client.batch_execute(sql).await };
        let ((), rows, ()) = tokio::try_join!(also(&before), client.query(&statement, values), also(after))?;
        Ok(rows)
    }
}

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        // Something failed, or nobody waits any more. What is polled once is sent, and the next one on this connection comes after it.
        if self.is_open {
            let _ = self.client.batch_execute("rollback").now_or_never();
        }
    }
}

/// Sends one statement on a tenant's behalf over a connection of [`Store::scoped_session`].
pub(super) async fn query(
    session: &Session,
    tenant: TenantId,
    statement: &Statement,
    values: &[Parameter<'_>],
) -> Result<Vec<Row>, Error> {
    let begin = begin(tenant, "");
    round_trip(session, &begin, session.query(statement, values)).await
}

/// Sends a statement within a transaction: all three go out before the first is answered. Of a statement that fails,
/// `commit` undoes what it did.
async fn round_trip<T>(
    client: &Client,
    begin: &str,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    let ((), answer, ()) = tokio::try_join!(client.batch_execute(begin), statement, client.batch_execute("commit"))?;
    Ok(answer)
}

fn begin(tenant: TenantId, settings: &str) -> String {
    format!("begin;{settings}{}", scope(tenant))
}

/// Says for whom a transaction speaks, until it ends.
fn scope(tenant: TenantId) -> String {
    #[cfg(test)]
    if let Ok(sql) = tests::SCOPE.try_with(Clone::clone) {
        return sql;
    }
    format!("set local walker.tenant = '{}'", tenant.0)
}

#[cfg(test)]
mod tests;
