//! What tenants used is counted once, whatever is sent how often.

use super::*;
use crate::store::complete::{self, COMPLETE, Used};
use crate::store::record::{self, RECORD};

/// What is counted for the scene's tenant today: walkers, fuel, bytes.
async fn used(store: &Store, tenant: TenantId) -> [i64; 3] {
    let today = Utc::now().date_naive();
    let days = store.usage(tenant, today - TimeDelta::days(1), today + TimeDelta::days(1)).await.unwrap();
    days.iter().fold([0; 3], |[walkers, fuel, bytes], day| [walkers + day.walkers, fuel + day.fuel, bytes + day.bytes])
}

fn of_fuel(fuel: u64) -> Outcome {
    let mut outcome = outcome(Ended::Completed);
    outcome.usage.fuel = fuel;
    outcome.reports = vec![Json::of("four")];
    outcome
}

#[tokio::test]
async fn a_result_counts_once_however_often_it_is_sent() {
    let scene = Scene::new().await;
    let tenant = scene.actor.tenant;
    let lease = scene.accept().await.lease;
    let row = result(&scene, &of_fuel(7));
    let bytes = row.used.bytes;
    assert_eq!(
        row.used,
        Used { fuel: 7, bytes: (r#"["four"]"#.len() + row.fields.as_ref().map_or(0, Json::len)) as i64 }
    );
    let mut session = scene.store.queue_session("a test").await.unwrap();
    let statement = session.prepare(COMPLETE).await.unwrap();
    let late = Lease { attempt: lease.attempt + 1, ..lease };
    for (lease, again, written) in
        [(late, false, false), (lease, false, true), (lease, true, true), (lease, false, false)]
    {
        let answer = complete::complete(&mut session, &statement, &[(lease, &row)], again).await.unwrap();
        assert_eq!(answer[0].is_some(), written);
    }
    assert_eq!(used(&scene.store, tenant).await, [1, 7, bytes]);

    // A sync walker's, with its answer lost.
    let statement = session.prepare(RECORD).await.unwrap();
    let walker = scene.walker();
    for again in [false, true] {
        record::record(&mut session, &statement, &[(&walker, &row)], again).await.unwrap();
    }
    assert_eq!(used(&scene.store, tenant).await, [2, 14, 2 * bytes]);

    // Adding up changes nothing, and neither do other tenants.
    scene.store.add_up().await.unwrap();
    let left = "select (select count(*) from usage_deltas), (select count(*) from usage_days)";
    let row = scene.store.client().await.unwrap().query_one(left, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 1));
    assert_eq!(used(&scene.store, tenant).await, [2, 14, 2 * bytes]);
    assert_eq!(used(&scene.store, TenantId(tenant.0 + 1)).await, [0; 3]);
}

#[tokio::test]
async fn what_is_cancelled_or_given_up_counts_as_ended_without_fuel() {
    let scene = Scene::new().await;
    let tenant = scene.actor.tenant;
    let walker = scene.walker();
    let id = walker.id;
    scene.queue(walker).await;
    assert_eq!(scene.cancel(id).await, Cancelled::Ended);
    assert_eq!(used(&scene.store, tenant).await, [1, 0, "[]".len() as i64]);
    // Saved, then cancelled while it runs: its host ends it.
    let lease = scene.accept().await.lease;
    let saved = Checkpoint { lease, fields: Json::of("saved"), reports: Json::of(&[1, 2]) };
    assert_eq!(scene.save(saved).await.unwrap(), Fenced::Written);
    assert!(matches!(scene.cancel(lease.id).await, Cancelled::Stopping(_)));
    assert!(scene.store.end(lease.to_stop(), &ending::cancelled()).await.unwrap());
    let bytes = ("[]".len() + r#""saved""#.len() + "[1,2]".len()) as i64;
    assert_eq!(used(&scene.store, tenant).await, [2, 0, bytes]);
}

#[tokio::test]
async fn output_counts_when_it_is_stored_and_only_with_a_lease() {
    let scene = Scene::new().await;
    let lease = scene.accept().await.lease;
    let lines = Json::of(&["line"]);
    let bytes = lines.len() as i64;
    for (lease, seq) in [(lease, 1), (lease, 1), (Lease { attempt: 9, ..lease }, 2), (lease, 2)] {
        scene.writers.log(LogChunk { lease, seq, lines: lines.clone() }).await;
    }
    assert_eq!(used(&scene.store, scene.actor.tenant).await, [0, 0, 2 * bytes]);
}
