//! Walkers read back: by many callers at once, and as lists.

use futures::future::join_all;

use super::*;
use crate::queue::Readers;
use crate::store::ending::cancelled;
use crate::store::{Found as Read, READ, read};

/// A waiting walker, one that runs and saved, one that ended, one that ended with much to read, and one in its second attempt.
async fn walkers(scene: &Scene) -> [WalkerId; 5] {
    let waiting = scene.walker();
    let mut ids = vec![waiting.id];
    scene.queue(waiting).await;
    let saved = scene.accept().await.lease;
    let checkpoint = Checkpoint { lease: saved, fields: Json::of(&5), reports: Json::of(&["early"]) };
    assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Written);
    ids.push(saved.id);
    // What cannot be compressed.
    let long: String = (0..100).map(|_| Uuid::new_v4().to_string()).collect();
    for reports in [vec![Json::of("one")], vec![Json::of(&long)]] {
        let lease = scene.accept().await.lease;
        let ended = Outcome { reports, ..outcome(Ended::Completed) };
        assert_eq!(scene.writers.complete(lease, result(scene, &ended), ()).await.unwrap(), Fenced::Written);
        ids.push(lease.id);
    }
    let again = scene.accept().await.lease;
    let failed = outcome(Ended::Failed(Failure::new(Code::GuestError, "no luck")));
    assert_eq!(scene.writers.complete(again, result(scene, &failed), ()).await.unwrap(), Fenced::Written);
    let name = |uuid| WalkerId { name: "sample".into(), uuid };
    assert!(scene.retry(&scene.actor, &name(again.id)).await);
    ids.push(again.id);
    ids.into_iter().map(name).collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn one_of_many_reads_as_it_does_alone() {
    let scene = Scene::new().await;
    let ids = walkers(&scene).await;
    let readers = Readers::start(&scene.store);
    let seen = join_all((0..200).map(|at| readers.walker(&scene.actor, &ids[at % ids.len()]))).await;
    for (at, seen) in seen.into_iter().enumerate() {
        let alone = scene.store.walker(&scene.actor, &ids[at % ids.len()]).await.unwrap().unwrap();
        assert_eq!(format!("{:?}", seen.unwrap().unwrap()), format!("{alone:?}"));
    }
    assert_eq!(scene.view(ids[4].uuid).await.run.attempts.len(), 1);
}

#[tokio::test]
async fn each_of_many_sees_its_own_and_large_ones_are_read_alone() {
    let scene = Scene::new().await;
    let [waiting, running, ended, large, again] = walkers(&scene).await;
    let me = scene.actor;
    let tenant = Actor { reach: Reach::Tenant, root: Uuid::now_v7(), ..me };
    let other_root = Actor { root: Uuid::now_v7(), ..me };
    let other_tenant = Actor { tenant: TenantId(me.tenant.0 + 1), reach: Reach::Tenant, ..me };
    let other_name = WalkerId { name: "other".into(), ..ended.clone() };
    let wanted: [(&Actor, &WalkerId, Option<Status>); 9] = [
        (&other_root, &ended, None),
        (&me, &ended, Some(Status::Completed)),
        (&other_tenant, &ended, None),
        (&tenant, &ended, Some(Status::Completed)),
        (&me, &other_name, None),
        (&me, &running, Some(Status::Running)),
        (&tenant, &waiting, Some(Status::Pending)),
        (&other_root, &large, None),
        (&me, &again, Some(Status::Pending)),
    ];
    let session = scene.store.queue_session("a test").await.unwrap();
    let statement = session.prepare(READ).await.unwrap();
    let asked: Vec<_> = wanted.iter().map(|(actor, id, _)| (*actor, *id)).chain([(&me, &large)]).collect();
    let mut found = read(&session, &statement, &asked).await.unwrap();
    assert!(matches!(found.pop(), Some(Read::Large)));
    assert_eq!(found.len(), wanted.len());
    for (at, (found, (_, id, status))) in found.into_iter().zip(wanted).enumerate() {
        let Read::Read(view) = found else { panic!("{at} is not large") };
        let seen = view.map(|view| (view.id, view.schedule.status));
        assert_eq!(seen, status.map(|status| (id.clone(), status)), "{at}");
    }
}

#[tokio::test]
async fn lists_page_newest_first_and_show_only_what_the_actor_owns() {
    let scene = Scene::new().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(scene.accept().await.lease.id);
    }
    let ends = [Ended::Completed, Ended::Failed(Failure::new(Code::GuestError, "no")), Ended::Failed(cancelled())];
    for (id, ended) in [1, 4, 5].map(|at: usize| ids[at]).into_iter().zip(ends) {
        let lease = Lease { id, owner: scene.lease.id(), attempt: 1 };
        scene.writers.complete(lease, result(&scene, &outcome(ended)), ()).await.unwrap();
    }
    let list = async |actor: Actor, filter: ListFilter| -> Vec<Uuid> {
        scene.store.walkers(&actor, &filter).await.unwrap().iter().map(|view| view.id.uuid).collect()
    };
    let all = ListFilter { limit: 3, ..ListFilter::default() };
    assert_eq!(list(scene.actor, all.clone()).await, [ids[5], ids[4], ids[3]]);
    assert_eq!(list(scene.actor, ListFilter { before: Some(ids[1]), ..all.clone() }).await, [ids[0]]);
    for (status, expect) in [
        (Status::Completed, vec![ids[1]]),
        (Status::Running, vec![ids[3], ids[2], ids[0]]),
        (Status::Pending, vec![]),
        (Status::Failed, vec![ids[4]]),
        (Status::Cancelled, vec![ids[5]]),
    ] {
        for actor in [scene.actor, Actor { reach: Reach::Tenant, ..scene.actor }] {
            let these = ListFilter { status: Some(status), ..all.clone() };
            assert_eq!(list(actor, these.clone()).await, expect, "{status}");
            let since = Some(Utc::now() - TimeDelta::hours(1));
            assert_eq!(list(actor, ListFilter { name: Some("sample".into()), since, ..these.clone() }).await, expect);
            for other in [
                ListFilter { name: Some("other".into()), ..these.clone() },
                ListFilter { since: Some(Utc::now() + TimeDelta::hours(1)), ..these.clone() },
                ListFilter { before: Some(ids[0]), ..these },
            ] {
                assert!(list(actor, other).await.is_empty(), "{status}");
            }
        }
    }
    assert!(list(scene.actor, ListFilter { name: Some("other".into()), ..all.clone() }).await.is_empty());
    assert!(
        list(scene.actor, ListFilter { since: Some(Utc::now() + TimeDelta::hours(1)), ..all.clone() }).await.is_empty()
    );
    let other_root = Actor { root: Uuid::now_v7(), ..scene.actor };
    let other_tenant = Actor { tenant: TenantId(scene.actor.tenant.0 + 1), reach: Reach::Tenant, ..scene.actor };
    for stranger in [other_root, other_tenant] {
        assert!(list(stranger, all.clone()).await.is_empty());
        let id = WalkerId { name: "sample".into(), uuid: ids[0] };
        assert!(scene.store.walker(&stranger, &id).await.unwrap().is_none());
        assert!(scene.store.logs(&stranger, &id, 0, 10).await.unwrap().is_none());
    }
}
