//! What waiting walkers are taken from which lanes, and how many at once.

use futures::FutureExt as _;

use super::*;

#[tokio::test]
async fn claims_take_turns_among_tenants_and_leave_what_is_not_due() {
    let scene = Scene::new().await;
    for tenant in [1, 1, 1, 1, 1, 1, 1, 1, 2, 3] {
        scene.queue(NewWalker { tenant: TenantId(tenant), ..scene.walker() }).await;
    }
    let later = NewWalker { execute_date: Some(Utc::now() + TimeDelta::hours(1)), ..scene.walker() };
    scene.writers.accept(later.clone(), None).await.unwrap();
    let order: Vec<i64> = scene.claimed(10).await.iter().map(|claimed| claimed.tenant.0).collect();
    for small in [2, 3] {
        let place = order.iter().position(|tenant| *tenant == small).unwrap();
        assert!(place < 4, "tenant {small} waited behind a backlog that is not its own: {order:?}");
    }
    let view = scene.view(later.id).await;
    assert_eq!(view.schedule.status, Status::Pending);
    assert!(view.schedule.execute_date > Utc::now());
}

#[tokio::test]
async fn higher_priorities_come_first_and_walkers_of_one_take_turns() {
    let scene = Scene::new().await;
    for (walker, priority) in [
        ("a", Priority::Low),
        ("a", Priority::Normal),
        ("a", Priority::Normal),
        ("a", Priority::Normal),
        ("b", Priority::Normal),
        ("b", Priority::High),
    ] {
        scene.queue(NewWalker { walker: walker.into(), priority, ..scene.walker() }).await;
    }
    let scene = Scene { slots: Slots::new(1), ..scene };
    let order: Vec<String> = scene.claimed(6).await.into_iter().map(|claimed| claimed.input.unwrap().walker).collect();
    assert_eq!(order[0], "b", "the only one of high priority");
    assert!(order[1..3].contains(&"b".to_owned()), "{order:?}");
    assert_eq!(order[3..], ["a", "a", "a"]);
}

#[tokio::test]
async fn a_limit_of_concurrency_holds_across_hosts_and_lets_the_next_in_when_one_ends() {
    let scene = Scene::new().await;
    let definition = serde_json::json!([{
        "name": "sample", "doc": "", "async": true, "public": false, "enters": ["Root"], "fields": [],
        "settings": {"concurrency": 2}
    }]);
    let client = scene.store.client().await.unwrap();
    client.execute("update module_versions set definitions = $1", &[&definition]).await.unwrap();
    client.execute("update modules set active_version = 1", &[]).await.unwrap();
    client
        .execute("insert into walker_names values ($1, 'sample', $2)", &[&scene.actor.tenant.0, &scene.module_id])
        .await
        .unwrap();
    for _ in 0..5 {
        scene.queue(scene.walker()).await;
    }
    let first = scene.claimed(2).await;
    let other = HostLease::register(&scene.store, Role::All).await.unwrap();
    let scene = Scene { lease: other, lanes: Lanes::new(scene.store.clone()), ..scene };
    let none = tokio::time::timeout(Duration::from_millis(400), scene.claimed(1)).await;
    assert!(none.is_err(), "a third one ran");
    let ended = result(&scene, &outcome(Ended::Completed));
    scene.writers.complete(first[0].lease, ended, ()).await.unwrap();
    assert_eq!(scene.claimed(1).await.len(), 1);
    let running: i64 =
        client.query_one("select count(*) from queue where owner is not null", &[]).await.unwrap().get(0);
    assert_eq!(running, 2);
}

#[tokio::test]
async fn a_tenants_limit_holds_for_all_of_its_walkers_and_nobody_elses() {
    let scene = Scene::new().await;
    let client = scene.store.client().await.unwrap();
    client.execute("update tenants set quotas = '{\"running_walkers\": 3}'", &[]).await.unwrap();
    for walker in ["a", "b", "a", "b", "a", "b"] {
        scene.queue(NewWalker { walker: walker.into(), ..scene.walker() }).await;
    }
    let stranger = TenantId(scene.actor.tenant.0 + 1);
    for _ in 0..5 {
        scene.queue(NewWalker { tenant: stranger, ..scene.walker() }).await;
    }
    let scene = Scene { slots: Slots::new(100), ..scene };
    let mut first = scene.claimed(8).await;
    first.retain(|claimed| claimed.tenant != stranger);
    assert_eq!(first.len(), 3, "{first:?}");
    let other = HostLease::register(&scene.store, Role::All).await.unwrap();
    let scene = Scene { lease: other, lanes: Lanes::new(scene.store.clone()), ..scene };
    let none = tokio::time::timeout(Duration::from_millis(400), scene.claimed(1)).await;
    assert!(none.is_err(), "a fourth one ran");
    let ended = result(&scene, &outcome(Ended::Completed));
    scene.writers.complete(first[0].lease, ended, ()).await.unwrap();
    assert_eq!(scene.claimed(1).await.len(), 1);
    client.execute("update tenants set quotas = '{}'", &[]).await.unwrap();
    assert_eq!(scene.claimed(2).await.len(), 2, "the rest");
}

#[tokio::test]
async fn while_a_limit_is_reached_nothing_of_a_lower_priority_is_tried() {
    let scene = Scene::new().await;
    let check = async |full: Full, expect: &[&str]| {
        let (lanes, slots) = (Lanes::new(scene.store.clone()), Slots::new(1));
        for (walker, priority) in [("a", Priority::High), ("a", Priority::Low), ("b", Priority::Normal)] {
            let lane = Lane { tenant: scene.actor.tenant, walker: walker.into(), priority };
            lanes.queued(lanes.number(&lane).await.unwrap(), &lane, Some(1));
        }
        let first = lanes.choose(1, &slots).remove(0);
        assert_eq!(first.walker, "a");
        lanes.filled(&first, full);
        drop(first);
        let next: Vec<String> = lanes.choose(1, &slots).into_iter().map(|pick| pick.walker).collect();
        assert_eq!(next, expect, "{full:?}");
        lanes.ended(scene.actor.tenant, "a", 1);
        assert!(lanes.choose(1, &slots)[0].walker == "a", "{full:?}");
    };
    check(Full::Walker, &["b"]).await;
    check(Full::Tenant, &[]).await;
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_found_and_given_back() {
    let scene = Scene::new().await;
    let known = scene.accept().await.lease;
    scene.queue(scene.walker()).await;
    // Taken, and nobody here heard of it.
    let stray = scene.claimed(1).await.remove(0).lease;
    let session = scene.store.session("a test").await.unwrap();
    let free = async |known: &[Uuid], age| strays::free(&session, scene.lease.id(), known, age).await.unwrap();
    let young = Duration::from_secs(60);
    assert_eq!(free(&[], young).await, Found::default());
    assert_eq!(free(&[known.id, stray.id], Duration::ZERO).await, Found::default());
    assert_eq!(free(&[known.id], Duration::ZERO).await, Found { freed: vec![stray.id], ..Found::default() });
    assert_eq!(scene.view(known.id).await.schedule.status, Status::Running);
    // Whoever had it after all, writes nothing.
    let ended = result(&scene, &outcome(Ended::Completed));
    assert_eq!(scene.writers.complete(stray, ended, ()).await.unwrap(), Fenced::Lost);
    let again = scene.claimed(1).await.remove(0).lease;
    assert_eq!((again.id, again.attempt), (stray.id, 2));
    // Cancelled before anybody noticed, it ends: no run of this host could.
    let id = WalkerId { name: "sample".into(), uuid: again.id };
    assert_eq!(scene.store.cancel(&scene.actor, &id).await.unwrap(), Cancelled::Stopping(again));
    assert_eq!(free(&[], young).await, Found::default());
    assert_eq!(free(&[again.id, known.id], Duration::ZERO).await, Found::default());
    assert_eq!(free(&[known.id], Duration::ZERO).await, Found { cancelled: vec![again.id], ..Found::default() });
    assert_eq!(scene.view(again.id).await.schedule.status, Status::Cancelled);
    assert_eq!(scene.view(known.id).await.schedule.status, Status::Running);
}

#[tokio::test]
async fn a_host_that_was_taken_for_dead_claims_nothing_until_it_knows() {
    let mut scene = Scene::new().await;
    scene.queue(scene.walker()).await;
    scene.store.leave(scene.lease.id()).await.unwrap();
    let lanes = [(scene.lane(&scene.walker()).await, 10)];
    assert!(scene.take(&lanes, i64::MAX).await.is_empty());
    scene.lease = HostLease::register(&scene.store, Role::All).await.unwrap();
    assert_eq!(scene.take(&lanes, i64::MAX).await.len(), 1);
}

#[tokio::test]
async fn a_walker_of_countless_attempts_spoils_nobodys_claim() {
    let scene = Scene::new().await;
    let client = scene.store.client().await.unwrap();
    let other = NewWalker { tenant: TenantId(scene.actor.tenant.0 + 1), ..scene.walker() };
    scene.queue(scene.walker()).await;
    client.execute("update queue set attempt = 32767", &[]).await.unwrap();
    scene.queue(other.clone()).await;
    let lanes = [(scene.lane(&scene.walker()).await, 10), (scene.lane(&other).await, 10)];
    let mut attempts: Vec<i16> =
        scene.take(&lanes, i64::MAX).await.iter().map(|claimed| claimed.lease.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 32_767]);
}

const LARGE: usize = 4 << 20;

fn large(scene: &Scene) -> NewWalker {
    let fields = Json::of(&serde_json::json!({"value": 0, "text": "x".repeat(LARGE)}));
    NewWalker { fields, ..scene.walker() }
}

#[tokio::test]
async fn a_claim_takes_so_many_bytes_of_each_lane_in_turns_and_one_walker_at_least() {
    let mut scene = Scene::new().await;
    let small = |scene: &Scene| NewWalker { tenant: TenantId(scene.actor.tenant.0 + 1), ..scene.walker() };
    for _ in 0..4 {
        scene.queue(large(&scene)).await;
    }
    for _ in 0..3 {
        scene.queue(small(&scene)).await;
    }
    let lanes = [(scene.lane(&scene.walker()).await, 10), (scene.lane(&small(&scene)).await, 10)];
    let take = async |bytes| {
        let (mut large, mut small) = (0, 0);
        for claimed in scene.take(&lanes, bytes).await {
            *(if claimed.tenant == scene.actor.tenant { &mut large } else { &mut small }) += 1;
        }
        (large, small)
    };
    assert_eq!(take(1).await, (1, 0), "however large");
    assert_eq!(take(LARGE as i64 * 2).await, (2, 1), "in turns, until two large ones are taken");
    assert_eq!(take(i64::MAX).await, (1, 2));

    // What was saved counts, too: those who go on from there bring it along.
    for _ in 0..2 {
        let lease = scene.accept().await.lease;
        let checkpoint = Checkpoint { lease, fields: large(&scene).fields, reports: Json::of::<[i32]>(&[]) };
        assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Written);
    }
    scene.store.leave(scene.lease.id()).await.unwrap();
    scene.lease = HostLease::register(&scene.store, Role::All).await.unwrap();
    // They were stored without a lane.
    let again = scene.take(&[(LaneId::default(), 10)], LARGE as i64).await;
    assert_eq!(again.iter().map(|claimed| claimed.bytes > LARGE as i64).collect::<Vec<_>>(), [true]);
}

#[tokio::test]
async fn large_walkers_that_are_due_at_once_run_once_and_hold_up_nobody() {
    const COUNT: usize = 100;
    let scene = Scene { slots: Slots::new(2 * COUNT), ..Scene::new().await };
    let due = Some(Utc::now() + TimeDelta::seconds(30));
    let all = (0..COUNT).map(|_| scene.queue(NewWalker { execute_date: due, ..large(&scene) }));
    futures::future::join_all(all).await;
    let stranger = TenantId(scene.actor.tenant.0 + 1);
    scene.queue(NewWalker { tenant: stranger, execute_date: due, ..scene.walker() }).await;
    let client = scene.store.client().await.unwrap();
    client.execute("update queue set execute_date = now()", &[]).await.unwrap();
    let claimed = scene.claimed(COUNT + 1).await;
    assert!(claimed.iter().all(|claimed| claimed.lease.attempt == 1), "an answer was lost");
    let place = claimed.iter().position(|claimed| claimed.tenant == stranger).unwrap();
    assert!(place < 10, "the small one came after {place} large ones");
    let ids: std::collections::HashSet<Uuid> = claimed.iter().map(|claimed| claimed.lease.id).collect();
    assert_eq!(ids.len(), COUNT + 1);
}

#[tokio::test]
async fn nobody_jumps_ahead_of_what_is_still_being_stored() {
    let scene = Scene::new().await;
    let (slots, tenant) = (Slots::new(1), scene.actor.tenant);
    let enter = |tenant, priority| scene.lanes.enter(tenant, priority, &slots);
    let check = |tenant, priority, expect: bool| {
        assert_eq!(enter(tenant, priority).is_ok(), expect, "{tenant:?} {priority:?}");
    };
    let held = enter(tenant, Priority::Normal).ok().expect("a slot is free");
    let ahead = enter(tenant, Priority::Normal).err().expect("none is free");
    drop(held);
    check(tenant, Priority::Normal, false);
    check(tenant, Priority::Low, false);
    check(tenant, Priority::High, true);
    check(TenantId(tenant.0 + 1), Priority::Low, true);
    // Stored, it waits in its lane before it is on its way no longer.
    let walker = scene.walker();
    let lane = Lane { tenant, walker: walker.walker.clone(), priority: walker.priority };
    scene.lanes.queued(scene.lane(&walker).await, &lane, None);
    drop(ahead);
    check(tenant, Priority::Normal, false);
    let since = scene.lanes.now();
    let pick = scene.lanes.choose(1, &slots).remove(0);
    scene.lanes.emptied(&pick, since);
    drop(pick);
    check(tenant, Priority::Normal, true);
    // Or it never was.
    let ahead = scene.lanes.enter_to_wait(tenant, Priority::Normal);
    check(tenant, Priority::Normal, false);
    drop(ahead);
    check(tenant, Priority::Normal, true);
}

#[tokio::test]
async fn a_new_walker_waits_a_moment_where_that_brings_a_slot() {
    let scene = Scene::new().await;
    let (slots, tenant) = (Slots::new(3), scene.actor.tenant);
    let soon = |waiting: u64| scene.lanes.enter_soon(tenant, Priority::Normal, &slots, move || waiting);
    let mut held = vec![soon(0).await.ok().expect("free"), soon(0).await.ok().expect("free")];
    // More wait than the slots are for.
    assert!(soon(5).await.is_err());

    let mut waits = Box::pin(soon(4));
    assert!((&mut waits).now_or_never().is_none());
    held.pop();
    held.push(waits.await.ok().expect("one came free"));

    // Behind one that waits: as soon as that was taken, and not before.
    let walker = scene.walker();
    let lane = Lane { tenant, walker: walker.walker.clone(), priority: walker.priority };
    let id = scene.lane(&walker).await;
    scene.lanes.queued(id, &lane, None);
    let mut waits = Box::pin(soon(1));
    assert!((&mut waits).now_or_never().is_none());
    held.clear();
    assert!((&mut waits).now_or_never().is_none());
    let since = scene.lanes.now();
    let pick = scene.lanes.choose(1, &slots).remove(0);
    scene.lanes.emptied(&pick, since);
    assert!(waits.await.is_ok());

    // What waits for more than a slot is not waited for.
    scene.lanes.queued(id, &lane, None);
    scene.lanes.filled(&pick, Full::Walker);
    assert!(soon(1).now_or_never().is_some_and(|entered| entered.is_err()));
}

#[tokio::test]
async fn looks_find_ten_thousand_lanes_of_walkers_that_nobody_defines_any_more() {
    const COUNT: i32 = 10_000;
    let scene = Scene::new().await;
    let client = scene.store.client().await.unwrap();
    let lanes = "insert into lanes (tenant_id, walker, priority) select $1, 'gone_' || n, 0 from generate_series(1, $2::int4) n";
    client.execute(lanes, &[&scene.actor.tenant.0, &COUNT]).await.unwrap();
    let rows = "insert into queue (id, tenant_id, lane, execute_date) select gen_random_uuid(), tenant_id, id, now() from lanes";
    client.execute(rows, &[]).await.unwrap();
    let other = NewWalker { tenant: TenantId(scene.actor.tenant.0 + 1), ..scene.walker() };
    scene.queue(other.clone()).await;
    // It comes with the first that are taken: what those walkers may do is asked of two hundred, not of all.
    let claimed = scene.claimed(200).await;
    assert!(claimed.iter().any(|claimed| claimed.tenant == other.tenant));
}
