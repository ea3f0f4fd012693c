//! What tenants have stored is what a look at every row says, whatever is sent how often.

use super::*;
use crate::queue::{Group, Grouped};
use crate::store::attempts::{FailedAttempt, Retry};
use crate::store::complete::{self, COMPLETE};
use crate::store::intake::INTAKE;
use crate::store::keys::Key;
use crate::store::record::{self, RECORD};
use crate::store::stored::{WALKER_BYTES, gone_through};

impl Scene {
    /// What is counted for its tenant, which is what there is.
    async fn counted(&self) -> u64 {
        let tenant = self.actor.tenant;
        let counted = self.store.stored(tenant).await.unwrap();
        assert_eq!(counted, gone_through(&self.store, tenant).await);
        counted
    }

    async fn is_forgotten(&self, id: Uuid) -> bool {
        self.store.forget_walker(&self.actor, &WalkerId { name: "sample".into(), uuid: id }).await.unwrap()
    }
}

fn large(text: &str) -> Outcome {
    let mut outcome = outcome(Ended::Failed(Failure::new(Code::GuestError, "no luck")));
    outcome.custom = Some(Json::of(text));
    outcome.reports = vec![Json::of(text), Json::of("ä")];
    outcome
}

#[tokio::test]
async fn what_is_accepted_counts_once_and_until_it_is_forgotten() {
    let scene = Scene::new().await;
    let mut session = scene.store.queue_session("a test").await.unwrap();
    assert_eq!(scene.counted().await, 0);
    let walker = NewWalker { custom: Some(Json::of("möre")), ..scene.walker() };
    let bytes = walker.stored() as u64;
    assert!(bytes > WALKER_BYTES as u64 + 20);
    let statement = session.prepare(INTAKE).await.unwrap();
    let owner = Some(scene.lease.id());
    for again in [false, true] {
        intake::insert(&mut session, &statement, &[(&walker, owner)], again).await.unwrap();
        assert_eq!(scene.counted().await, bytes, "its answer was lost");
    }

    let lease = Lease { id: walker.id, owner: scene.lease.id(), attempt: 1 };
    for (lease, seq) in [(lease, 1), (lease, 1), (Lease { attempt: 9, ..lease }, 2)] {
        scene.writers.log(LogChunk { lease, seq, lines: Json::of(&["line"]) }).await;
    }
    assert_eq!(scene.counted().await, bytes + 8);
    let statement = session.prepare(COMPLETE).await.unwrap();
    let row = ResultRow::new(scene.actor.root, Utc::now(), &large("large"), Some(Json::of(&["end"])), None);
    for (again, written) in [(false, true), (true, true), (false, false)] {
        let answer = complete::complete(&mut session, &statement, &[(lease, &row)], again).await.unwrap();
        assert_eq!(answer[0].is_some(), written);
    }
    assert_eq!(scene.counted().await, bytes + 8 + row.stored() as u64);

    // Another tenant's is its own.
    let other = NewWalker { tenant: TenantId(scene.actor.tenant.0 + 1), ..scene.walker() };
    let others = other.stored() as u64;
    scene.writers.accept(other, None).await.unwrap();
    let both = [TenantId(scene.actor.tenant.0 + 1), scene.actor.tenant];
    assert_eq!(scene.store.stored_by_each(&both).await.unwrap(), [others, scene.counted().await]);

    scene.store.add_up().await.unwrap();
    let left = "select (select count(*) from stored_deltas), (select count(*) from stored_days)";
    let left = session.query_one(left, &[]).await.unwrap();
    assert_eq!((left.get::<_, i64>(0), left.get::<_, i64>(1)), (0, 2));
    assert!(scene.counted().await > 0);
    assert!(scene.is_forgotten(walker.id).await);
    assert!(!scene.is_forgotten(walker.id).await);
    assert_eq!(scene.counted().await, 0);
    let waiting = scene.accept().await.lease.id;
    assert!(!scene.is_forgotten(waiting).await, "it has not ended");
    scene.counted().await;
}

#[tokio::test]
async fn sync_walkers_and_groups_count_as_often_as_they_are_stored() {
    let scene = Scene::new().await;
    let mut session = scene.store.queue_session("a test").await.unwrap();
    let statement = session.prepare(RECORD).await.unwrap();
    let (walker, row) = (scene.walker(), result(&scene, &large("sync")));
    for again in [false, true] {
        record::record(&mut session, &statement, &[(&walker, &row)], again).await.unwrap();
    }
    let one = (walker.stored() + row.stored()) as u64;
    assert_eq!(scene.counted().await, one);

    let key = |key: u8, body: u8| Key { tenant: scene.actor.tenant, key_hash: [key; 32], body_hash: [body; 32] };
    let group = |key, count: usize| Group { key, walkers: (0..count).map(|_| scene.walker()).collect() };
    let each = scene.walker().stored() as u64;
    // Sent together, so that several stand in one statement.
    let groups = [(Some(key(1, 1)), 3), (Some(key(1, 1)), 3), (Some(key(1, 2)), 1), (Some(key(2, 1)), 2), (None, 4)];
    let puts = groups.map(|(key, count)| scene.writers.accept_group(group(key, count), None));
    let mut walkers = 0;
    for (put, count) in futures::future::join_all(puts).await.into_iter().zip([3, 3, 1, 2, 4]) {
        walkers += if matches!(put.unwrap(), Grouped::Stored(_)) { count } else { 0 };
    }
    assert!([3 + 2 + 4, 1 + 2 + 4].contains(&walkers), "{walkers}");
    assert_eq!(scene.counted().await, one + walkers * each);
}

#[tokio::test]
async fn attempts_retries_and_cancels_leave_what_is_counted() {
    let scene = Scene::new().await;
    let lease = scene.accept().await.lease;
    let failed = FailedAttempt {
        lease,
        root: scene.actor.root,
        started: Utc::now(),
        failure: Failure::new(Code::GuestError, "no luck"),
        usage: Json::of(&(Usage::default(), Limits::default())),
        fuel: 5,
        logs: Some(Json::of(&["first attempt"])),
        retry: Retry { times: 3, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
    };
    let before = scene.counted().await;
    assert!(scene.writers.again(failed).await.unwrap());
    assert_eq!(scene.counted().await, before + r#"["first attempt"]"#.len() as u64);
    let lease = scene.claimed(1).await.remove(0).lease;
    let saved = Checkpoint { lease, fields: Json::of("saved"), reports: Json::of(&[1, 2]) };
    assert_eq!(scene.save(saved).await.unwrap(), Fenced::Written);
    let row = ResultRow::new(scene.actor.root, Utc::now(), &large("x"), Some(Json::of(&["second"])), Some(1));
    let before = scene.counted().await;
    assert_eq!(scene.writers.complete(lease, row, ()).await.unwrap(), Fenced::Written);
    assert!(scene.counted().await > before);
    // Its output stays, for its owner to read; its result makes room for the next.
    let id = WalkerId { name: "sample".into(), uuid: lease.id };
    assert!(scene.retry(&scene.actor, &id).await);
    assert_eq!(scene.counted().await, before + r#"["second"]"#.len() as u64);
    assert_eq!(scene.cancel(lease.id).await, Cancelled::Ended);
    scene.counted().await;
    // Never began, and retried all the same.
    assert!(scene.retry(&scene.actor, &id).await);
    scene.counted().await;
    let lease = scene.claimed(1).await.remove(0).lease;
    assert!(matches!(scene.cancel(lease.id).await, Cancelled::Stopping(_)));
    assert!(scene.store.end(lease.to_stop(), &ending::cancelled()).await.unwrap());
    scene.counted().await;
    assert!(scene.is_forgotten(lease.id).await);
    assert_eq!(scene.counted().await, 0);
}

#[tokio::test]
async fn the_code_of_modules_counts_once_for_each_tenant_that_published_it() {
    let scene = Scene::new().await;
    let client = scene.store.client().await.unwrap();
    let sql = "with c as (insert into module_code values (sha256($2::bytea), $2::bytea) returning sha256),
                    v as (insert into module_versions select $1, n, sha256, '[]' from c, generate_series(7, 9) n)
               select 1";
    client.execute(sql, &[&scene.module_id, &b"0123456789".as_slice()]).await.unwrap();
    assert_eq!(scene.store.stored_by_each(&[scene.actor.tenant, TenantId(99)]).await.unwrap(), [10, 0]);
}
