//! Walkers whose hosts are gone: what they cost to find, and who may stand in the way.

use super::*;

/// How many rows of these tables and their days were read one after the other, so far.
async fn read_in_passing(scene: &Scene, tables: &str) -> i64 {
    let session = scene.store.session("a test").await.unwrap();
    let sql = "select coalesce(sum(seq_tup_read), 0)::int8 from pg_stat_user_tables where relname ~ $1";
    session.query_one(sql, &[&format!("^({tables})(_2|$)")]).await.unwrap().get(0)
}

#[tokio::test]
async fn burying_one_walker_does_not_go_through_all_there_are() {
    let scene = Scene::new().await;
    let (freed, stopped, given_up) =
        (scene.accept().await.lease, scene.accept().await.lease, scene.accept().await.lease);
    for lease in [freed, stopped, given_up] {
        let checkpoint = Checkpoint { lease, fields: Json::of(&7), reports: Json::of(&["early"]) };
        assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Written);
    }
    // They make the planner expect many to end; so do no statistics at all.
    futures::future::join_all((0..2_000).map(|_| scene.writers.accept(scene.walker(), None))).await;
    assert_eq!(scene.cancel(stopped.id).await, Cancelled::Stopping(stopped));
    let session = scene.store.session("a test").await.unwrap();
    let lost = "insert into attempts (id, attempt, tenant_id, root_id, started, code, error, failure)
                select q.id, generate_series(2, 3), q.tenant_id, q.id, now(), 'host.lost', '', '{}' from queue q where q.id = $1";
    assert_eq!(session.execute(lost, &[&given_up.id]).await.unwrap(), 2);
    session.execute("delete from hosts", &[]).await.unwrap();
    session.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();

    let tables = "walkers|results|attempts|checkpoints";
    let before = read_in_passing(&scene, tables).await;
    let buried = bury(&session, 3).await.unwrap();
    assert_eq!(buried, Buried { ended: vec![stopped.id], given_up: vec![given_up.id], freed: 1 });
    session.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
    assert!(read_in_passing(&scene, tables).await - before < 100);
    assert!(read_in_passing(&scene, "queue").await > 2_000, "nothing is counted");
    assert_eq!(scene.view(stopped.id).await.schedule.reports.len(), 1);
}

#[tokio::test]
async fn one_that_somebody_holds_keeps_no_other_from_being_freed() {
    let scene = Scene::new().await;
    let (held, other) = (scene.accept().await.lease, scene.accept().await.lease);
    let holder = scene.store.session("a test").await.unwrap();
    holder.batch_execute("begin").await.unwrap();
    holder.execute("update queue set owner = -owner where id = $1", &[&held.id]).await.unwrap();
    let session = scene.store.session("a test").await.unwrap();
    session.execute("delete from hosts", &[]).await.unwrap();
    let buried = tokio::time::timeout(Duration::from_secs(1), bury(&session, 3));
    assert_eq!(buried.await.expect("it waits").unwrap(), Buried { freed: 1, ..Buried::default() });
    assert_eq!(scene.view(other.id).await.schedule.status, Status::Pending);
    holder.batch_execute("commit").await.unwrap();
    assert_eq!(bury(&session, 3).await.unwrap(), Buried { ended: vec![held.id], ..Buried::default() });
}
