//! Each statement on a tenant's behalf, run for the wrong one: through each of the two walls alone, the statement's own
//! clauses and row-level security.

use std::collections::BTreeSet;
use std::fs;

use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt as _;
use serde_json::json;
use tokio_postgres::error::SqlState;
use uuid::Uuid;
use walker_model::{TenantId, UploadCost, WalkerId};

use super::Moment;
use crate::access::{Actor, Reach};
use crate::store::cancel::{CancelFilter, Cancelled, Stands};
use crate::store::grants::Granted;
use crate::store::lanes::LaneId;
use crate::store::modules::Published;
use crate::store::{Error, Found, ListFilter, READ, Session, Store, Whose, read};
use crate::test_postgres;

tokio::task_local! {
    /// What transactions begin with instead.
    pub(super) static SCOPE: String;
}

/// All that is done meanwhile speaks for this tenant, whichever it names.
async fn speaking_for<T>(tenant: TenantId, done: impl Future<Output = T>) -> T {
    SCOPE.scope(super::scope(tenant), done).await
}

/// Row-level security binds nothing that is done meanwhile.
async fn unbound<T>(done: impl Future<Output = T>) -> T {
    SCOPE.scope("set local role none".to_owned(), done).await
}

/// A tenant with something of everything, and one that has nothing.
struct Scene {
    store: Store,
    session: Session,
    actor: Actor,
    stranger: Actor,
    user: Uuid,
    other_user: Uuid,
    login: Uuid,
    key: Uuid,
    grant: Uuid,
    waiting: WalkerId,
    also_waiting: WalkerId,
    failed: WalkerId,
    completed: WalkerId,
}

const DIGEST: [u8; 32] = [7; 32];
const DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();

impl Scene {
    async fn new() -> Self {
        let store = test_postgres::store().await;
        let tenant = store.add_tenant("acme").await.unwrap().unwrap();
        let stranger = store.add_tenant("zeta").await.unwrap().unwrap();
        let reach = Reach::Tenant;
        let actor = Actor { tenant: tenant.id, root: tenant.root, reach };
        let stranger = Actor { tenant: stranger.id, root: stranger.root, reach };
        let user = store.add_user(tenant.id, "ada@example.org", "hash").await.unwrap().unwrap();
        let other_user = store.add_user(tenant.id, "bob@example.org", "hash").await.unwrap().unwrap();
        store.add_session(tenant.id, user.id, b"session", 1e6).await.unwrap().unwrap();
        store.add_session(tenant.id, user.id, b"other session", 1e6).await.unwrap().unwrap();
        let key = store.add_key(tenant.id, b"key", "ci", &["read"], None).await.unwrap().id;
        let Granted::New(grant) = store.add_grant(&actor, user.root, None).await.unwrap() else { panic!("is new") };
        for module in ["m", "spare"] {
            let code = tempfile::tempfile().unwrap();
            store.publish(tenant.id, module, &DIGEST, &code, &[], &UploadCost::DEFAULT).await.unwrap();
        }
        let client = store.client().await.unwrap();
        client
            .execute("insert into walker_names select tenant_id, 'sample', id from modules where name = 'm'", &[])
            .await
            .unwrap();
        client.execute("insert into usage_days values ($1, $2, 1, 1, 1)", &[&tenant.id.0, &DAY]).await.unwrap();
        client.execute("insert into stored_days values ($1, $2, 1)", &[&tenant.id.0, &DAY]).await.unwrap();
        let mut walkers = Vec::new();
        for status in [None, None, Some(3_i16), Some(2)] {
            let id = WalkerId::new("sample");
            let insert = "
                with l as (insert into logs (id, attempt, seq, lines) values ($1, 1, 1, '[]')),
                     k as (insert into checkpoints (id, tenant_id, attempt, fields, reports) select $1, $2, 1, '{}', '[]' where $4::int2 is null),
                     q as (insert into queue (id, tenant_id, execute_date) select $1, $2, now() where $4 is null),
                     r as (insert into results (id, tenant_id, root_id, status, attempt, http_status, reports)
                           select $1, $2, $3, $4, 1, 200, '[]' where $4 is not null)
                insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, execute_date, fields)
                select $1, $2, 'sample', id, 1, '', $3, $3, now(), '{}' from modules where name = 'm'";
            client.execute(insert, &[&id.uuid, &tenant.id.0, &tenant.root, &status]).await.unwrap();
            walkers.push(id);
        }
        let login = client.query_one("select id from tokens where hash = 'session'", &[]).await.unwrap().get(0);
        let [waiting, also_waiting, failed, completed] = walkers.try_into().unwrap();
        Self {
            session: store.scoped_session("a test").await.unwrap(),
            store,
            actor,
            stranger,
            user: user.id,
            other_user: other_user.id,
            login,
            key,
            grant: grant.id,
            waiting,
            also_waiting,
            failed,
            completed,
        }
    }

    /// Reads and changes what is there, on this actor's behalf; says of each whether there was anything.
    async fn all(&self, actor: &Actor) -> Vec<(&'static str, bool)> {
        let (store, tenant) = (&self.store, actor.tenant);
        let filter = CancelFilter { name: None, stands: None, before: Utc::now() };
        let list = ListFilter { limit: 10, ..ListFilter::default() };
        let statement = self.session.prepare(READ).await.unwrap();
        let found = read(&self.session, &statement, &[(actor, &self.completed)]).await.unwrap().remove(0);
        let root = Some(self.actor.root);
        let cancelled = store.cancel(actor, &self.waiting).await.unwrap();
        let ids = [self.also_waiting.uuid];
        let all_cancelled = store.live(actor, &filter, None).await.unwrap();
        vec![
            ("read", matches!(found, Found::Read(Some(_)))),
            ("walker", store.walker(actor, &self.completed).await.unwrap().is_some()),
            ("walkers", !store.walkers(actor, &list).await.unwrap().is_empty()),
            ("logs", store.logs(actor, &self.completed, 0, 10).await.unwrap().is_some()),
            ("priority", store.priority(actor, &self.failed).await.unwrap().is_some()),
            ("root_of", store.root_of(tenant, root, None).await.unwrap().is_some()),
            ("grants", !store.grants(actor, None, 10).await.unwrap().is_empty()),
            ("active_version", store.active_version(tenant, "sample").await.unwrap().is_some()),
            ("modules", !store.modules(tenant, None).await.unwrap().is_empty()),
            ("user", store.user(tenant, "ada@example.org").await.unwrap().is_some()),
            ("users", !store.users(tenant, None, 10).await.unwrap().is_empty()),
            ("keys", !store.keys(tenant, None, 10).await.unwrap().is_empty()),
            ("usage", !store.usage(tenant, DAY, DAY).await.unwrap().is_empty()),
            ("stored", store.stored(tenant).await.unwrap() > 0),
            ("live", !all_cancelled.is_empty()),
            ("cancel", cancelled == Cancelled::Ended),
            ("cancel_all", !store.cancel_all(tenant, &ids, Some(Stands::Pending)).await.unwrap().ended.is_empty()),
            ("retry", store.retry(actor, &self.failed, LaneId::default()).await.unwrap()),
            ("forget_walker", store.forget_walker(actor, &self.completed).await.unwrap()),
            ("remove_grant", store.remove_grant(actor, self.grant).await.unwrap()),
            ("activate", !matches!(store.activate(tenant, "m", 1).await.unwrap(), Published::Unknown)),
            ("delete_module", store.delete_module(tenant, "spare").await.unwrap()),
            ("remove_session", store.remove_session(tenant, self.login).await.unwrap().is_some()),
            (
                "change_password",
                store.change_password(tenant, self.user, "hash", "new", self.key).await.unwrap().is_some(),
            ),
            ("set_role", store.set_role(tenant, self.user, "admin").await.unwrap().is_some()),
            ("end_sessions", store.end_sessions(tenant, self.user).await.unwrap().is_some()),
            ("remove_user", store.remove_user(tenant, self.other_user).await.unwrap().is_some()),
            ("remove_key", store.remove_key(tenant, self.key).await.unwrap().is_some()),
        ]
    }

    /// Adds something of everything; says of each whether it was added. (What a stranger adds is its own.)
    async fn add(&self) -> Vec<(&'static str, bool)> {
        let (store, tenant) = (&self.store, self.actor.tenant);
        let code = tempfile::tempfile().unwrap();
        let added = |result: Result<bool, Error>| {
            result.unwrap_or_else(|error| {
                assert!(
                    matches!(&error, Error::Statement(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)),
                    "{error:?}"
                );
                false
            })
        };
        let grant = store.add_grant(&self.actor, Uuid::now_v7(), Some(&self.failed)).await;
        let session = store.add_session(tenant, self.user, b"new session", 1.0).await;
        vec![
            ("add_user", added(store.add_user(tenant, "eve@example.org", "x").await.map(|user| user.is_some()))),
            ("add_key", added(store.add_key(tenant, b"new key", "x", &[], None).await.map(|_| true))),
            ("add_session", added(session.map(|session| session.is_some()))),
            ("add_grant", added(grant.map(|grant| matches!(grant, Granted::New(_))))),
            (
                "publish",
                added(store.publish(tenant, "new", &DIGEST, &code, &[], &UploadCost::DEFAULT).await.map(|_| true)),
            ),
            // Nothing of a tenant that cannot be seen goes on record.
            ("record", added(store.record(tenant, "x", "x", json!({})).await.map(|()| false))),
            ("audit", store.audit(Whose::Tenant(tenant), None, None, 1).await.unwrap().len() == 1),
        ]
    }

    /// All rows of the tenant, table by table.
    async fn rows(&self) -> Vec<(String, String)> {
        let tables = "select c.relname::text from pg_class c
                      where c.relrowsecurity and c.relnamespace = current_schema()::regnamespace
                        and has_table_privilege(c.oid, 'select') order by 1";
        let mut rows = Vec::new();
        for row in self.session.query(tables, &[]).await.unwrap() {
            let table: String = row.get(0);
            let sql = format!("select coalesce(string_agg(t::text, e'\n' order by t::text), '') from {table} t");
            let statement = self.session.prepare(&sql).await.unwrap();
            let answer = super::query(&self.session, self.actor.tenant, &statement, &[]).await.unwrap();
            rows.push((table, answer[0].get(0)));
        }
        assert!(rows.len() >= 15, "{rows:?}");
        rows
    }
}

fn names(done: &[(&'static str, bool)], which: bool) -> Vec<&'static str> {
    done.iter().filter(|(_, is)| *is == which).map(|(name, _)| *name).collect()
}

#[tokio::test]
async fn no_statement_finds_or_changes_anything_of_another_tenant() {
    let scene = Scene::new().await;
    let before = scene.rows().await;
    let nothing: [&str; 0] = [];
    // A statement that forgot its clauses asks for another's rows: row-level security has none.
    let done = speaking_for(scene.stranger.tenant, scene.all(&scene.actor)).await;
    assert_eq!(names(&done, true), nothing, "row-level security lets these through");
    let done = speaking_for(scene.stranger.tenant, scene.add()).await;
    assert_eq!(names(&done, true), nothing, "row-level security lets these through");
    assert_eq!(scene.rows().await, before);
    // Where row-level security is not there, the clauses hold.
    let done = unbound(scene.all(&scene.stranger)).await;
    assert_eq!(names(&done, true), nothing, "these statements' clauses let a stranger through");
    assert_eq!(scene.rows().await, before);

    // And whoever may, does.
    let mut done = scene.all(&scene.actor).await;
    let mut added = scene.add().await;
    assert_eq!((names(&done, false), names(&added, false)), (vec![], vec!["record"]));
    assert_ne!(scene.rows().await, before);

    done.append(&mut added);
    let tried: BTreeSet<String> = done.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(tried, statements(), "each statement on a tenant's behalf is to be tried here");
}

/// The functions of `store` that speak for a tenant, as its sources say.
fn statements() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");
    let mut found = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() || path.ends_with("scoped.rs") {
            continue;
        }
        let mut function = "";
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines() {
            if let Some((_, name)) = line.split_once("fn ") {
                function = name.split(['(', '<']).next().unwrap_or("");
            }
            if line.contains(".scoped(") {
                found.insert(function.to_owned());
            } else if line.contains("scoped::query(") {
                // By way of one that groups by tenant.
                found.insert("read".to_owned());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_does_not_say_for_whom_it_speaks_sees_nothing() {
    let scene = Scene::new().await;
    let open = "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                where a.attname = 'tenant_id' and c.relkind in ('r', 'p') and not c.relispartition and not c.relrowsecurity
                  and c.relnamespace = current_schema()::regnamespace";
    let open: Vec<String> = scene.session.query(open, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(open.is_empty(), "tables without row-level security: {open:?}");

    let reachable = "select c.relname::text, c.relrowsecurity from pg_class c
                     where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace
                       and has_table_privilege(c.oid, 'select')";
    let tables = scene.session.query(reachable, &[]).await.unwrap();
    assert!(tables.len() >= 15, "{}", tables.len());
    for row in tables {
        let (table, is_bound): (String, bool) = (row.get(0), row.get(1));
        assert!(is_bound, "{table} is read without row-level security");
        let count = format!("select count(*) from {table}");
        assert_eq!(scene.session.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), 0, "{table}");
    }
    let code = scene.session.query("select code from module_code", &[]).await.unwrap_err();
    assert_eq!(code.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn what_a_host_of_the_version_before_saves_is_seen_by_whose_it_is() {
    let scene = Scene::new().await;
    let save = "insert into checkpoints (id, attempt, fields, reports) values ($1, 1, '{\"value\":5}', '[]')
                on conflict (id) do update set fields = excluded.fields";
    let client = scene.store.client().await.unwrap();
    client.batch_execute("delete from checkpoints").await.unwrap();
    client.execute(save, &[&scene.waiting.uuid]).await.unwrap();
    let view = scene.store.walker(&scene.actor, &scene.waiting).await.unwrap().unwrap();
    assert_eq!(view.fields.as_str(), r#"{"value":5}"#);
}

#[tokio::test]
async fn a_moment_that_nobody_waits_for_is_over() {
    let store = test_postgres::store().await;
    let scoped = store.scoped(TenantId(1)).await.unwrap();
    let began = async |moment: &mut Moment<'_>| -> DateTime<Utc> {
        moment.query("", "select now()", &[]).await.unwrap()[0].get(0)
    };
    let mut first = scoped.moment();
    let at = began(&mut first).await;
    assert_eq!(began(&mut first).await, at);
    drop(first);
    let mut second = scoped.moment();
    let later = began(&mut second).await;
    assert!(later > at);
    // Given up while a statement is on its way.
    assert!(began(&mut second).now_or_never().is_none());
    drop(second);
    assert!(began(&mut scoped.moment()).await > later);
}
