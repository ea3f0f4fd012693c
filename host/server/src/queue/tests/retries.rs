//! Attempts that follow upon others: those that authors ask for, and those that dead hosts cause.

use super::*;
use crate::store::attempts::{FailedAttempt, Released, Retry};

fn failed(scene: &Scene, lease: Lease, retry: Retry) -> FailedAttempt {
    FailedAttempt {
        lease,
        root: scene.actor.root,
        started: Utc::now(),
        failure: Failure::new(Code::GuestError, "no\0luck"),
        usage: Json::of(&(Usage::default(), Limits::default())),
        fuel: 5,
        logs: None,
        retry,
    }
}

#[tokio::test]
async fn a_failed_walker_is_tried_again_later_each_time_until_its_retries_are_used_up() {
    let scene = Scene::new().await;
    let retry = Retry { times: 3, backoff: Duration::from_secs(100), max_backoff: Duration::from_secs(250) };
    let mut lease = scene.accept().await.lease;
    let client = scene.store.client().await.unwrap();
    // Doubled, capped, and spread between a half and the whole.
    for (attempt, (least, most)) in [(50, 100), (100, 200), (125, 250)].into_iter().enumerate() {
        let lost = Lease { attempt: lease.attempt + 1, ..lease };
        assert!(!scene.writers.again(failed(&scene, lost, retry)).await.unwrap(), "without a lease");
        assert!(scene.writers.again(failed(&scene, lease, retry)).await.unwrap());
        let used = "select sum(walkers)::int8, sum(fuel)::int8 from usage_deltas";
        let used = client.query_one(used, &[]).await.unwrap();
        assert_eq!((used.get::<_, i64>(0), used.get::<_, i64>(1)), (0, 5 * (attempt as i64 + 1)));
        let view = scene.view(lease.id).await;
        assert_eq!(view.schedule.status, Status::Pending);
        assert_eq!(view.run.attempts.len(), attempt + 1);
        let pause: f64 = client
            .query_one("select extract(epoch from execute_date - now())::float8 from queue", &[])
            .await
            .unwrap()
            .get(0);
        assert!((f64::from(least) - 10.0..=f64::from(most)).contains(&pause), "{pause}");
        client.execute("update queue set execute_date = now()", &[]).await.unwrap();
        lease = scene.claimed(1).await.remove(0).lease;
    }
    assert_eq!(lease.attempt, 4);
    assert!(!scene.writers.again(failed(&scene, lease, retry)).await.unwrap(), "they are used up");
    let failure = outcome(Ended::Failed(Failure::new(Code::GuestError, "no luck")));
    assert_eq!(scene.writers.complete(lease, result(&scene, &failure), ()).await.unwrap(), Fenced::Written);
    // Whoever retries it by hand grants them anew.
    let id = WalkerId { name: "sample".into(), uuid: lease.id };
    assert!(scene.retry(&scene.actor, &id).await);
    let lease = scene.claimed(1).await.remove(0).lease;
    assert_eq!(lease.attempt, 5);
    assert!(scene.writers.again(failed(&scene, lease, retry)).await.unwrap());
    let attempts: Vec<u16> = scene.view(lease.id).await.run.attempts.iter().map(|one| one.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn failures_and_lost_hosts_are_counted_apart() {
    let mut scene = Scene::new().await;
    let session = scene.store.session("a test").await.unwrap();
    let retry = Retry { times: 2, backoff: Duration::ZERO, max_backoff: Duration::ZERO };
    let mut lease = scene.accept().await.lease;
    for _ in 0..2 {
        assert!(scene.writers.again(failed(&scene, lease, retry)).await.unwrap());
        lease = scene.claimed(1).await.remove(0).lease;
    }
    assert_eq!(lease.attempt, 3);
    for _ in 0..2 {
        session.execute("delete from hosts", &[]).await.unwrap();
        assert_eq!(bury(&session, 3).await.unwrap(), Buried { freed: 1, ..Buried::default() }, "{lease:?}");
        scene.lease = HostLease::register(&scene.store, Role::All).await.unwrap();
        lease = scene.claimed(1).await.remove(0).lease;
    }
    let codes: Vec<String> = scene.view(lease.id).await.run.attempts.into_iter().map(|one| one.code).collect();
    assert_eq!(codes, ["guest.error", "guest.error", "host.lost", "host.lost"]);
    // The third one is too many, whether the host died or could not run it.
    let released = scene.store.release(lease, Duration::ZERO, 3).await.unwrap();
    assert_eq!(released, Released::NotAgain);
    assert_eq!(scene.store.release(lease, Duration::ZERO, 4).await.unwrap(), Released::Waiting);
    let lease = scene.claimed(1).await.remove(0).lease;
    session.execute("delete from hosts", &[]).await.unwrap();
    assert_eq!(bury(&session, 4).await.unwrap(), Buried { given_up: vec![lease.id], ..Buried::default() });
    assert_eq!(scene.view(lease.id).await.schedule.status, Status::Failed);
}

#[tokio::test]
async fn what_failed_together_does_not_come_back_together() {
    let scene = Scene { slots: Slots::new(100), ..Scene::new().await };
    let retry = Retry { times: 1, backoff: Duration::from_secs(1_000), max_backoff: Duration::from_secs(1_000) };
    let mut failures = Vec::new();
    for _ in 0..16 {
        let lease = scene.accept().await.lease;
        failures.push(failed(&scene, lease, retry));
    }
    // Sent at once, most of them share a statement.
    let again = failures.into_iter().map(|failure| scene.writers.again(failure));
    assert!(futures::future::join_all(again).await.into_iter().all(Result::unwrap));
    let client = scene.store.client().await.unwrap();
    let sql = "select extract(epoch from execute_date - now())::float8 from queue order by 1";
    let pauses: Vec<f64> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let (first, last) = (pauses[0], pauses[15]);
    // Spread over five hundred seconds: that 16 lie within a hundred happens once in a billion times.
    assert!(last - first > 100.0, "{pauses:?}");
}
