//! Groups are stored whole and once: batches, and what idempotency keys promise.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::queue::batch::Rows;
use crate::queue::groups::Groups;
use crate::queue::{Group, Grouped};
use crate::store::keys::{Kept, Key};

impl Scene {
    fn key(&self, key: u8, body: u8) -> Key {
        Key { tenant: self.actor.tenant, key_hash: [key; 32], body_hash: [body; 32] }
    }

    fn group(&self, key: Option<Key>, count: usize) -> Group {
        Group { key, walkers: (0..count).map(|_| self.walker()).collect() }
    }

    async fn put(&self, group: Group) -> Grouped {
        self.writers.accept_group(group, None).await.unwrap()
    }

    async fn stored(&self) -> (i64, i64, i64) {
        let sql = "select (select count(*) from walkers), (select count(*) from queue), (select count(*) from idempotency_keys)";
        let row = self.store.client().await.unwrap().query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1), row.get(2))
    }
}

fn ids(group: &Group) -> Vec<Uuid> {
    group.walkers.iter().map(|walker| walker.id).collect()
}

#[tokio::test]
async fn a_key_stands_for_its_first_group() {
    let scene = Scene::new().await;
    let first = scene.group(Some(scene.key(1, 1)), 3);
    let expect = ids(&first);
    assert!(matches!(scene.put(first).await, Grouped::Stored(_)));
    assert_eq!(scene.put(scene.group(Some(scene.key(1, 1)), 3)).await, Grouped::Before(expect));
    assert_eq!(scene.put(scene.group(Some(scene.key(1, 2)), 1)).await, Grouped::OtherBody);
    let elsewhere = Key { tenant: TenantId(scene.actor.tenant.0 + 1), ..scene.key(1, 2) };
    assert!(matches!(scene.put(scene.group(Some(elsewhere), 1)).await, Grouped::Stored(_)));
    assert!(matches!(scene.put(scene.group(None, 2)).await, Grouped::Stored(_)));
    assert_eq!(scene.stored().await, (6, 6, 2));
}

#[tokio::test]
async fn of_many_at_once_one_is_first() {
    let scene = Scene::new().await;
    // Two hosts' writers on one database, and several of a key in one statement.
    let other = Writers::start(&scene.store, Waiters::default(), None);
    let puts = (0..200_u8).map(|at| {
        let group = scene.group(Some(scene.key(at % 5, 1)), 1 + usize::from(at % 3));
        let writers = if at % 2 == 0 { &scene.writers } else { &other };
        async move {
            let own = ids(&group);
            match writers.accept_group(group, None).await.unwrap() {
                Grouped::Stored(_) => (at % 5, own, true),
                Grouped::Before(first) => (at % 5, first, false),
                grouped => panic!("{grouped:?}"),
            }
        }
    });
    let answers = futures::future::join_all(puts).await;
    let mut walkers = 0;
    for key in 0..5 {
        let of_key: Vec<_> = answers.iter().filter(|(of, ..)| *of == key).collect();
        assert!(of_key.iter().all(|(_, ids, _)| *ids == of_key[0].1), "one answer for all");
        assert_eq!(of_key.iter().filter(|(.., is_first)| *is_first).count(), 1);
        walkers += of_key[0].1.len() as i64;
    }
    assert_eq!(scene.stored().await, (walkers, walkers, 5));
}

#[tokio::test]
async fn a_group_with_a_bad_walker_is_not_stored_and_the_others_are() {
    let scene = Scene::new().await;
    let mut bad = scene.group(Some(scene.key(9, 1)), 10);
    // No check lets such a name through; Postgres is the last one to refuse it.
    bad.walkers[7].walker = "sam\0ple".into();
    let groups = [scene.group(None, 4), bad, scene.group(Some(scene.key(1, 1)), 4)];
    let puts = groups.into_iter().map(|group| scene.writers.accept_group(group, None));
    let put = futures::future::join_all(puts).await;
    assert!(put[0].is_ok() && put[1].is_err() && put[2].is_ok());
    assert_eq!(scene.stored().await, (8, 8, 1));
}

#[tokio::test]
async fn a_keyed_walker_with_a_slot_starts_here_once() {
    let scene = Scene::new().await;
    let put = async || {
        let group = scene.group(Some(scene.key(1, 1)), 1);
        let (start, mut accepted) = scene.start();
        (scene.writers.accept_group(group, Some(start)).await.unwrap(), accepted.try_recv())
    };
    let (stored, accepted) = put().await;
    assert!(matches!(stored, Grouped::Stored(_)));
    let first = accepted.unwrap().lease;
    let (again, accepted) = put().await;
    assert_eq!(again, Grouped::Before(vec![first.id]));
    assert!(accepted.is_err());
    assert_eq!(scene.view(first.id).await.schedule.status, Status::Running);
}

#[tokio::test]
async fn cut_connections_neither_lose_nor_double_a_group() {
    let scene = Scene::new().await;
    let cutter = scene.store.clone();
    let cutting = tokio::spawn(async move {
        let client = cutter.client().await.unwrap();
        for _ in 0..30 {
            client
                .execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()",
                    &[],
                )
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut expect = 0;
    for round in 0..20_u8 {
        let puts = (0..10).map(|at| {
            let key = (at % 2 == 0).then(|| scene.key(round * 10 + at, 1));
            scene.writers.accept_group(scene.group(key, 3), None)
        });
        for put in futures::future::join_all(puts).await {
            assert!(matches!(put.unwrap(), Grouped::Stored(_)));
            expect += 3;
        }
    }
    cutting.await.unwrap();
    assert_eq!(scene.stored().await, (expect, expect, 100));
}

#[tokio::test]
async fn a_key_of_a_synchronous_walker_is_kept_while_it_runs_and_free_after_its_hosts_death() {
    let scene = Scene::new().await;
    let (store, key, me) = (&scene.store, scene.key(1, 1), scene.lease.id());
    let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(store.key(&key).await.unwrap(), Kept::New);
    assert_eq!(store.keep_key(&key, first, me).await.unwrap(), Kept::New);
    assert_eq!(store.keep_key(&key, second, me).await.unwrap(), Kept::Running);
    assert_eq!(store.keep_key(&scene.key(1, 2), second, me).await.unwrap(), Kept::OtherBody);
    // It came to nothing.
    store.free_key(&key, first).await.unwrap();
    assert_eq!(store.keep_key(&key, second, me).await.unwrap(), Kept::New);
    // Its host died: whoever asks runs it anew, once.
    store.client().await.unwrap().execute("delete from hosts", &[]).await.unwrap();
    let me = HostLease::register(store, Role::All).await.unwrap().id();
    assert_eq!(store.keep_key(&scene.key(1, 2), third, me).await.unwrap(), Kept::OtherBody);
    assert_eq!(store.keep_key(&key, third, me).await.unwrap(), Kept::New);
    assert_eq!(store.keep_key(&key, first, me).await.unwrap(), Kept::Running);
    store.end_key(&key, second).await.unwrap();
    assert_eq!(store.key(&key).await.unwrap(), Kept::Running, "that was another run");
    store.end_key(&key, third).await.unwrap();
    assert_eq!(store.keep_key(&key, first, me).await.unwrap(), Kept::Walkers(vec![third]));
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day_in_batches() {
    let scene = Scene::new().await;
    for at in 0..3 {
        scene.put(scene.group(Some(scene.key(at, 1)), 1)).await;
    }
    let client = scene.store.client().await.unwrap();
    client
        .execute(
            "insert into idempotency_keys (tenant_id, key_hash, body_hash, walker_ids, created_at)
             select 1, int4send(n), '', '{}', now() - interval '25 hours' from generate_series(1, 1500) n",
            &[],
        )
        .await
        .unwrap();
    assert!(scene.store.forget_keys().await.unwrap());
    assert!(!scene.store.forget_keys().await.unwrap());
    assert_eq!(scene.stored().await, (3, 3, 3));
}

#[tokio::test]
async fn batches_give_way_to_walkers_that_wait_and_hold_up_no_keyed_one() {
    let scene = Scene::new().await;
    let walker = scene.walker();
    let lane = Lane { tenant: walker.tenant, walker: walker.walker.clone(), priority: walker.priority };
    let groups = Groups { gives_way: Some(scene.lanes.clone()) };
    let took = Duration::from_millis(10);
    assert_eq!(groups.rest(1, took), Duration::ZERO);
    scene.lanes.queued(scene.lane(&walker).await, &lane, None);
    assert!(groups.rest(1, took) > took && groups.rest(1, 60 * took) < 60 * took);
    assert_eq!(Groups { gives_way: None }.rest(1, took), Duration::ZERO);

    let stored = AtomicUsize::new(0);
    let batches = (0..10).map(|_| scene.group(None, 500)).map(async |batch| {
        assert!(matches!(scene.put(batch).await, Grouped::Stored(_)));
        stored.fetch_add(1, Ordering::Relaxed);
    });
    let keyed = async {
        assert!(matches!(scene.put(scene.group(Some(scene.key(1, 1)), 1)).await, Grouped::Stored(_)));
        stored.load(Ordering::Relaxed)
    };
    let (_, before) = tokio::join!(futures::future::join_all(batches), keyed);
    assert!(before < 10, "it waited for all of them");
    assert_eq!(scene.stored().await, (5_001, 5_001, 1));
}

#[tokio::test]
async fn a_flood_of_one_tenants_batches_holds_up_no_other_tenant() {
    let scene = Scene::new().await;
    let stored = AtomicUsize::new(0);
    let flood = (0..30).map(|_| scene.group(None, 500)).map(async |batch| {
        assert!(matches!(scene.put(batch).await, Grouped::Stored(_)));
        stored.fetch_add(1, Ordering::Relaxed);
    });
    let other = async {
        let mut batch = scene.group(None, 500);
        batch.walkers.iter_mut().for_each(|walker| walker.tenant = TenantId(scene.actor.tenant.0 + 1));
        assert!(matches!(scene.put(batch).await, Grouped::Stored(_)));
        stored.load(Ordering::Relaxed)
    };
    let (_, before) = tokio::join!(futures::future::join_all(flood), other);
    assert!(before <= 8, "it waited for {before} of 30");
    assert_eq!(scene.stored().await, (15_500, 15_500, 0));
}
