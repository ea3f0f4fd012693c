//! Takes away tenants that were deleted, with everything of them: in the background, by any host, one at a time.
//!
//! Whoever dies on the way is followed by another, which begins anew: every step may be repeated. Knows nothing of how a
//! run is stopped.

use std::time::Duration;

use tokio::sync::Notify;
use walker_model::TenantId;

use crate::store::{Error, Store, removal as sql};

/// How often it is looked for tenants that are to go: a look-up of an index that is almost always empty.
const LOOK: Duration = Duration::from_secs(1);
/// Tokens and quotas are believed for four seconds on every host, and what was let in by then is committed soon after.
const SETTLED: f64 = 8.0;
/// Who holds this advisory lock does it; the others skip a turn.
const LOCK: i64 = 0x6c_6561_7665;
/// A suspended host loses its turn, and nobody waits long for a statement of it.
const SETTINGS: &str = "set idle_session_timeout = '60s'; set lock_timeout = '10s'";

/// Says when a tenant is to go.
#[derive(Default)]
pub(crate) struct Removals(Notify);

impl Removals {
    /// A tenant was deleted just now.
    pub(crate) fn look(&self) {
        self.0.notify_one();
    }
}

/// Takes tenants away for as long as this host lives; never returns. `stop` stops the sync walkers of a tenant that run
/// here.
pub(crate) async fn remove_tenants(store: Store, removals: &Removals, stop: impl Fn(TenantId)) {
    loop {
        if let Err(error) = turn(&store, &stop).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not take deleted tenants away; trying again"
            );
        }
        drop(tokio::time::timeout(LOOK, removals.0.notified()).await);
    }
}

async fn turn(store: &Store, stop: &impl Fn(TenantId)) -> Result<(), Error> {
    let leaving = store.leaving().await?;
    if leaving.is_empty() {
        return Ok(());
    }
    for tenant in &leaving {
        stop(tenant.id);
    }
    // Closed at the end, and the lock with it.
    let session = store.session("removes tenants").await?;
    session.batch_execute(SETTINGS).await?;
    let mine: bool = session.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await?.get(0);
    if !mine {
        return Ok(());
    }
    for tenant in leaving {
        sql::unqueue(&session, tenant.id).await?;
        let live = sql::cancel_running(&session, tenant.id).await?;
        if live > 0 || tenant.seconds < SETTLED {
            continue;
        }
        let walkers = sql::delete_walkers(&session, tenant.id).await?;
        if sql::delete_rest(&session, tenant.id).await? {
            tracing::info!(tenant = %tenant.id, walkers, "tenant {} is gone, with {walkers} walkers", tenant.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use walker_model::SetQuotas;

    use super::*;
    use crate::access::{Actor, Reach};
    use crate::config::Role;
    use crate::store::Session;
    use crate::test_postgres;

    /// A tenant with a row in every table that knows tenants.
    async fn tenant(store: &Store, name: &str) -> TenantId {
        let tenant = store.add_tenant(name).await.unwrap().unwrap().id;
        let user = store.add_user(tenant, "ada@example.org", "hash").await.unwrap().unwrap();
        store.add_session(tenant, user.id, name.as_bytes(), 1e6).await.unwrap();
        let key = store.add_key(tenant, format!("{name} key").as_bytes(), "ci", &["read"], None).await.unwrap();
        store.remove_key(tenant, key.id).await.unwrap().unwrap();
        let client = store.client().await.unwrap();
        let row = client
            .query_one(
                "with c as (insert into module_code values (sha256($2::bytea), $2::bytea) on conflict do nothing)
                 insert into modules (tenant_id, name, active_version) values ($1, 'm', 1) returning id",
                &[&tenant.0, &b"shared".as_slice()],
            )
            .await
            .unwrap();
        let module: i64 = row.get(0);
        client
            .execute(
                "insert into module_code values (sha256($1::bytea), $1::bytea)",
                &[&format!("{name}'s own").as_bytes()],
            )
            .await
            .unwrap();
        for (version, code) in [(1, b"shared".to_vec()), (2, format!("{name}'s own").into_bytes())] {
            client
                .execute(
                    "insert into module_versions (module_id, version, sha256, definitions) values ($1, $2, sha256($3::bytea), '[]')",
                    &[&module, &version, &code],
                )
                .await
                .unwrap();
        }
        let to_key = Actor { tenant, root: user.root, reach: Reach::Root };
        store.add_grant(&to_key, Uuid::now_v7(), None).await.unwrap();
        for table in ["usage_deltas", "usage_days"] {
            let used = format!("insert into {table} values ($1, '2026-11-23', 1, 1, 1)");
            client.execute(&used, &[&tenant.0]).await.unwrap();
        }
        for table in ["stored_deltas", "stored_days"] {
            let stored = format!("insert into {table} values ($1, '2026-11-23', 1)");
            client.execute(&stored, &[&tenant.0]).await.unwrap();
        }
        client.execute("insert into walker_names values ($1, 'sample', $2)", &[&tenant.0, &module]).await.unwrap();
        client
            .execute("insert into lanes (tenant_id, walker, priority) values ($1, 'sample', 0)", &[&tenant.0])
            .await
            .unwrap();
        client
            .execute(
                "insert into idempotency_keys (tenant_id, key_hash, body_hash, walker_ids) values ($1, 'k', 'b', '{}')",
                &[&tenant.0],
            )
            .await
            .unwrap();
        for owner in [None, Some(0), Some(0)] {
            let id = Uuid::now_v7();
            client
                .execute(
                    "insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, execute_date, fields)
                     values ($1, $2, 'sample', $3, 1, '', $1, $1, now(), '{}')",
                    &[&id, &tenant.0, &module],
                )
                .await
                .unwrap();
            let sql = match owner {
                // It waits, and has saved something.
                None => {
                    "with k as (insert into checkpoints (id, tenant_id, attempt, fields, reports) values ($1, $2, 1, '{}', '[]'))
                     insert into queue (id, tenant_id, execute_date) values ($1, $2, now())"
                }
                Some(_) => {
                    "with a as (insert into attempts (id, attempt, tenant_id, root_id, code) values ($1, 1, $2, $1, 'x')),
                          l as (insert into logs (id, attempt, seq, lines) values ($1, 1, 1, '[]'))
                     insert into results (id, tenant_id, root_id, status, attempt, http_status, reports)
                     values ($1, $2, $1, 2, 1, 200, '[]')"
                }
            };
            client.execute(sql, &[&id, &tenant.0]).await.unwrap();
        }
        tenant
    }

    /// The tables that hold anything of a tenant.
    async fn holding(session: &Session, tenant: TenantId) -> Vec<String> {
        let sql = "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                   where a.attname = 'tenant_id' and c.relname <> 'audit' and c.relkind in ('r', 'p') and not c.relispartition
                     and c.relnamespace = current_schema()::regnamespace order by 1";
        let mut found = Vec::new();
        for row in session.query(sql, &[]).await.unwrap() {
            let table: String = row.get(0);
            let sql = format!("select exists (select 1 from {table} where tenant_id = $1)");
            if session.query_one(&sql, &[&tenant.0]).await.unwrap().get(0) {
                found.push(table);
            }
        }
        found
    }

    async fn settle(store: &Store) {
        let sql = "update tenants set deleting_since = deleting_since - interval '1 minute'";
        store.client().await.unwrap().execute(sql, &[]).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_of_a_deleted_tenant_is_left_and_all_of_another() {
        let store = test_postgres::store().await;
        let (gone, kept) = (tenant(&store, "gone").await, tenant(&store, "kept").await);
        let session = store.session("a test").await.unwrap();
        let all = holding(&session, kept).await;
        assert_eq!(holding(&session, gone).await, all);
        assert!(all.len() >= 10, "{all:?}");

        store.mark_tenant_deleted("gone").await.unwrap();
        assert!(store.token(b"gone").await.unwrap().is_none(), "refused at once");
        let stopped = std::sync::Mutex::new(Vec::new());
        let stop = |tenant| stopped.lock().unwrap().push(tenant);
        turn(&store, &stop).await.unwrap();
        assert_eq!(*stopped.lock().unwrap(), [gone]);
        assert!(store.add_tenant("gone").await.unwrap().is_none(), "some host may still let something in");

        settle(&store).await;
        // What was let in late: it runs, and its host is to stop it first.
        let (late, host) = (Uuid::now_v7(), store.register_host(Role::All).await.unwrap());
        let client = store.client().await.unwrap();
        let queue = "insert into queue (id, tenant_id, execute_date, owner) values ($1, $2, now(), $3)";
        client.execute(queue, &[&late, &gone.0, &host.0]).await.unwrap();
        turn(&store, &stop).await.unwrap();
        assert_eq!(store.stopping(host).await.unwrap().len(), 1);
        assert!(store.add_tenant("gone").await.unwrap().is_none());
        client.execute("delete from queue where id = $1", &[&late]).await.unwrap();

        turn(&store, &stop).await.unwrap();
        assert_eq!(holding(&session, gone).await, Vec::<String>::new());
        assert_eq!(holding(&session, kept).await, all);
        let loose = "select (select count(*) from logs l where not exists (select 1 from walkers w where w.id = l.id)),
                            (select count(*) from checkpoints k where not exists (select 1 from queue q where q.id = k.id)),
                            (select count(*) from module_code)";
        let row = session.query_one(loose, &[]).await.unwrap();
        let counts: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        assert_eq!(counts, [0, 0, 2], "the shared code, and the other's own");
        let again = store.add_tenant("gone").await.unwrap().expect("its name is free");
        assert_eq!((again.quotas, again.is_deleting), (SetQuotas::default(), false));
    }

    #[tokio::test]
    async fn one_host_at_a_time_and_the_next_goes_on_where_one_died() {
        let store = test_postgres::store().await;
        let gone = tenant(&store, "gone").await;
        store.mark_tenant_deleted("gone").await.unwrap();
        settle(&store).await;
        let session = store.session("a test").await.unwrap();
        session.execute("select pg_advisory_lock($1)", &[&LOCK]).await.unwrap();
        turn(&store, &|_| ()).await.unwrap();
        assert!(!holding(&session, gone).await.is_empty(), "another host is at it");
        // It comes as far as this, and dies.
        sql::unqueue(&session, gone).await.unwrap();
        sql::delete_walkers(&session, gone).await.unwrap();
        session.execute("delete from walker_names", &[]).await.unwrap();
        drop(session);
        let session = store.session("a test").await.unwrap();
        while !holding(&session, gone).await.is_empty() {
            turn(&store, &|_| ()).await.unwrap();
        }
        assert!(store.tenant("gone").await.unwrap().is_none());
    }
}
