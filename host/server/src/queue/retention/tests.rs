use uuid::Uuid;
use walker_model::TenantId;

use super::*;
use crate::store::{Changed, TenantChange};
use crate::test_postgres;

/// A store with days from long ago.
struct Scene {
    store: Store,
    session: Session,
}

/// What a walker of the past has become.
#[derive(Debug, Clone, Copy)]
enum Now {
    Ended,
    /// Ended so many days after it was accepted.
    EndedLate(i64),
    Queued,
}

impl Scene {
    async fn new() -> Self {
        let store = test_postgres::store().await;
        let session = store.session("a test").await.unwrap();
        session
            .batch_execute(
                "insert into tenants (name, root_id, public_root_id)
                 select name, gen_random_uuid(), gen_random_uuid() from unnest(array['short', 'default', 'long']) name",
            )
            .await
            .unwrap();
        for (name, days) in [("short", 7), ("long", 100)] {
            let change = TenantChange { keep_days: Some(Some(days)), ..TenantChange::default() };
            let Changed::Done(tenant) = store.change_tenant(name, &change).await.unwrap() else { panic!("is there") };
            assert_eq!(tenant.keep_days, Some(days));
        }
        Self { store, session }
    }

    /// A walker accepted so many days ago, with all that a walker leaves behind.
    async fn walker(&self, tenant: &str, days_ago: i64, now: Now) -> Uuid {
        let sql = "select (now() - make_interval(days => $1))::timestamptz, ((now() - make_interval(days => $1)) at time zone 'utc')::date";
        let row = self.session.query_one(sql, &[&(days_ago as i32)]).await.unwrap();
        let (at, day): (chrono::DateTime<chrono::Utc>, NaiveDate) = (row.get(0), row.get(1));
        self.session.execute("select add_day($1)", &[&day]).await.unwrap();
        let seconds = at.timestamp() as u64;
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
        let tenant: i64 =
            self.session.query_one("select id from tenants where name = $1", &[&tenant]).await.unwrap().get(0);
        self.session
            .execute(
                "insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, execute_date, fields)
                 values ($1, $2, 'sample', 1, 1, 'root', $1, $1, now(), '{}')",
                &[&id, &tenant],
            )
            .await
            .unwrap();
        self.session.execute("insert into logs values ($1, 1, 1, '[]')", &[&id]).await.unwrap();
        let attempt =
            "insert into attempts (id, attempt, tenant_id, root_id, code) values ($1, 1, $2, $1, 'guest.error')";
        self.session.execute(attempt, &[&id, &tenant]).await.unwrap();
        let ended = match now {
            Now::Ended => Some(at),
            Now::EndedLate(after) => Some(at + chrono::TimeDelta::days(after)),
            Now::Queued => None,
        };
        match ended {
            Some(ended) => {
                self.session
                    .execute(
                        "insert into results (id, tenant_id, root_id, status, attempt, http_status, finished_at, reports)
                         values ($1, $2, $1, 2, 1, 200, $3, '[]')",
                        &[&id, &tenant, &ended],
                    )
                    .await
                    .unwrap();
            }
            None => {
                let sql = "insert into queue (id, tenant_id, execute_date) values ($1, $2, now() + interval '1 hour')";
                self.session.execute(sql, &[&id, &tenant]).await.unwrap();
            }
        }
        id
    }

    async fn let_go(&self) {
        let_go(&self.store, 30, &mut Stays::new()).await.unwrap();
    }

    /// How many rows there are of it.
    async fn rows(&self, id: Uuid) -> i64 {
        let sql = "select (select count(*) from walkers where id = $1) + (select count(*) from results where id = $1)
                        + (select count(*) from logs where id = $1) + (select count(*) from attempts where id = $1)";
        self.session.query_one(sql, &[&id]).await.unwrap().get(0)
    }

    async fn tables(&self, like: &str) -> i64 {
        self.session
            .query_one("select count(*) from pg_class where relkind = 'r' and relname like $1", &[&like])
            .await
            .unwrap()
            .get(0)
    }

    fn partition(&self, id: Uuid, parent: &str) -> String {
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        let day = chrono::DateTime::from_timestamp(seconds as i64, 0).unwrap().format("%Y%m%d");
        format!("{parent}_{day}")
    }
}

#[tokio::test]
async fn days_go_when_everybodys_period_is_over_and_no_walker_of_theirs_waits() {
    let scene = Scene::new().await;
    let all_over = [scene.walker("default", 45, Now::Ended).await, scene.walker("short", 45, Now::Ended).await];
    let too_young = scene.walker("default", 20, Now::Ended).await;
    let kept_longer = scene.walker("long", 60, Now::Ended).await;
    let beside_it = scene.walker("default", 60, Now::Ended).await;
    let put_off = scene.walker("default", 61, Now::Queued).await;
    let put_off_and_done = scene.walker("default", 62, Now::EndedLate(60)).await;
    let beside_the_waiting = scene.walker("short", 61, Now::Ended).await;
    let everything_of_the_long = scene.walker("long", 120, Now::Ended).await;
    let days = scene.tables("walkers\\_2%").await;

    // Whatever reads or writes meanwhile is not in the way.
    scene.let_go().await;
    for (gone, id) in all_over.iter().chain([&beside_it, &beside_the_waiting, &everything_of_the_long]).enumerate() {
        assert_eq!(scene.rows(*id).await, 0, "{gone}");
    }
    for (kept, (id, rows)) in [(too_young, 4), (kept_longer, 4), (put_off, 3), (put_off_and_done, 4)].iter().enumerate()
    {
        assert_eq!(scene.rows(*id).await, *rows, "{kept}");
    }
    assert_eq!(scene.tables("walkers\\_2%").await, days - 2, "the two days that nobody needs");
    for parent in ["walkers", "results", "logs", "attempts"] {
        assert_eq!(scene.tables(&scene.partition(all_over[0], parent)).await, 0, "{parent}");
        assert_eq!(scene.tables(&scene.partition(put_off, parent)).await, 1, "{parent}");
    }

    // Once it has ended and its period is over, its day goes as well.
    scene.session.execute("delete from queue where id = $1", &[&put_off]).await.unwrap();
    scene.let_go().await;
    assert_eq!(scene.rows(put_off).await, 0);
    assert_eq!(scene.tables(&scene.partition(put_off, "walkers")).await, 0);
}

#[tokio::test]
async fn more_rows_than_a_batch_go_and_the_others_stay() {
    let scene = Scene::new().await;
    let kept = scene.walker("long", 50, Now::Ended).await;
    let gone = scene.walker("default", 50, Now::Ended).await;
    for table in ["walkers", "results"] {
        let columns = scene
            .session
            .query_one(
                "select string_agg(attname, ', ') from pg_attribute where attrelid = to_regclass($1) and attnum > 1 and not attisdropped",
                &[&table],
            )
            .await
            .unwrap()
            .get::<_, String>(0);
        scene
            .session
            .execute(
                &format!(
                    "insert into {table} (id, {columns})
                     select (left(id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, {columns} from {table}, generate_series(1, 2500) n where id = $1"
                ),
                &[&gone],
            )
            .await
            .unwrap();
    }
    scene.let_go().await;
    let left: i64 = scene.session.query_one("select count(*) from walkers", &[]).await.unwrap().get(0);
    assert_eq!((left, scene.rows(kept).await), (1, 4));
    let left: i64 = scene.session.query_one("select count(*) from results", &[]).await.unwrap().get(0);
    assert_eq!(left, 1);
}

#[tokio::test]
async fn what_was_interrupted_is_finished() {
    let scene = Scene::new().await;
    let id = scene.walker("default", 45, Now::Ended).await;
    let part = scene.partition(id, "results");
    // A reader keeps the detaching waiting until it is given up half way.
    let mut reader = scene.store.session("a test").await.unwrap();
    let reading = reader.transaction().await.unwrap();
    reading.query("select 1 from results limit 1", &[]).await.unwrap();
    scene.session.batch_execute("set statement_timeout = '300ms'").await.unwrap();
    let detach = format!("alter table results detach partition {part} concurrently");
    assert!(scene.session.batch_execute(&detach).await.is_err());
    scene.session.batch_execute("reset statement_timeout").await.unwrap();
    let halves = "select count(*) from pg_inherits where inhdetachpending";
    assert_eq!(scene.session.query_one(halves, &[]).await.unwrap().get::<_, i64>(0), 1);
    reading.commit().await.unwrap();
    scene.let_go().await;
    assert_eq!(scene.session.query_one(halves, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!((scene.rows(id).await, scene.tables(&part).await), (0, 0));
    // Another turn finds nothing more to do.
    scene.let_go().await;
}

#[tokio::test]
async fn only_one_host_does_it_at_a_time() {
    let scene = Scene::new().await;
    let id = scene.walker("default", 45, Now::Ended).await;
    scene.session.execute("select pg_advisory_lock($1)", &[&LOCK]).await.unwrap();
    scene.let_go().await;
    assert_eq!(scene.rows(id).await, 4);
    scene.session.execute("select pg_advisory_unlock($1)", &[&LOCK]).await.unwrap();
    scene.let_go().await;
    assert_eq!(scene.rows(id).await, 0);
}

#[tokio::test]
async fn days_are_added_while_a_dump_reads() {
    let scene = Scene::new().await;
    let mut dump = scene.store.session("a test").await.unwrap();
    let dumping = dump.transaction().await.unwrap();
    dumping.query("select count(*) from walkers, results, logs", &[]).await.unwrap();
    scene.session.batch_execute("set lock_timeout = '5s'; select add_day('2021-01-01')").await.unwrap();
    let id = scene.walker("default", 1, Now::Ended).await;
    assert_eq!(scene.rows(id).await, 4);
    let indexes = "select count(*) from pg_index where indrelid = 'walkers_20210101'::regclass";
    assert_eq!(
        scene.session.query_one(indexes, &[]).await.unwrap().get::<_, i64>(0),
        3,
        "the key and both lists' indexes"
    );
    dumping.commit().await.unwrap();
}

#[tokio::test]
async fn what_goes_counts_no_more_and_what_stays_does() {
    let scene = Scene::new().await;
    scene.walker("default", 45, Now::Ended).await;
    scene.walker("long", 60, Now::Ended).await;
    scene.walker("default", 60, Now::Ended).await;
    scene.walker("default", 60, Now::Queued).await;
    scene.walker("default", 2, Now::Ended).await;
    // As it was counted, some of it added up already, and some never: it was stored by a host of the version before.
    for (table, bytes) in [("stored_days", 3_000), ("stored_deltas", 200)] {
        let sql = format!(
            "insert into {table} select tenant_id, id_day(id), {bytes} from walkers where id_day(id) < now() - interval '10 days'
             group by 1, 2"
        );
        scene.session.execute(&sql, &[]).await.unwrap();
    }
    let young = "insert into stored_deltas select tenant_id, id_day(id), 1003 from walkers where id_day(id) > now() - interval '10 days'";
    scene.session.execute(young, &[]).await.unwrap();
    let tenants = "select id from tenants where name in ('default', 'long') order by name";
    let tenants = scene.session.query(tenants, &[]).await.unwrap();
    let tenants: Vec<TenantId> = tenants.iter().map(|row| TenantId(row.get(0))).collect();
    assert_eq!(scene.store.stored_by_each(&tenants).await.unwrap(), [7_403, 3_200]);
    for _ in 0..2 {
        scene.let_go().await;
        // What waits, counted anew: its input and its output; and what is young.
        assert_eq!(scene.store.stored_by_each(&tenants).await.unwrap(), [600 + 2 + 2 + 1_003, 3_200]);
    }
    let gone = "select count(*) from stored_days where day = ((now() - interval '45 days') at time zone 'utc')::date";
    assert_eq!(scene.session.query_one(gone, &[]).await.unwrap().get::<_, i64>(0), 0);
}
