//! Cancelling, retrying and forgetting, and who wins when they meet an end.

use super::*;
use crate::store::cancel::{CancelFilter, Stands};

impl Scene {
    fn id(uuid: Uuid) -> WalkerId {
        WalkerId { name: "sample".into(), uuid }
    }

    async fn pending(&self) -> Uuid {
        let walker = self.walker();
        let id = walker.id;
        self.writers.accept(walker, None).await.unwrap();
        id
    }

    pub(super) async fn cancel(&self, id: Uuid) -> Cancelled {
        self.store.cancel(&self.actor, &Self::id(id)).await.unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let client = self.store.client().await.unwrap();
        client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    }
}

fn stopped() -> Outcome {
    outcome(Ended::Failed(Failure::new(Code::Cancelled, "it was cancelled")))
}

#[tokio::test]
async fn what_waits_ends_at_once_and_never_runs() {
    let scene = Scene::new().await;
    let id = scene.pending().await;
    assert_eq!(scene.cancel(id).await, Cancelled::Ended);
    let view = scene.view(id).await;
    assert_eq!(view.schedule.status, Status::Cancelled);
    assert_eq!((view.schedule.http_status, view.schedule.executed_date), (Some(499), None));
    assert_eq!(view.run.failure.unwrap().code, Code::Cancelled);
    assert_eq!(view.fields, scene.walker().fields);
    assert_eq!(scene.count("queue").await, 0);
    assert_eq!(scene.cancel(id).await, Cancelled::TooLate);
}

#[tokio::test]
async fn what_runs_can_end_as_cancelled_only_and_keeps_what_it_says_until_then() {
    let scene = Scene::new().await;
    let lease = scene.accept().await.lease;
    assert_eq!(scene.cancel(lease.id).await, Cancelled::Stopping(lease));
    assert_eq!(scene.view(lease.id).await.schedule.status, Status::Running);
    assert_eq!(scene.store.stopping(lease.owner).await.unwrap(), [lease]);
    assert!(scene.store.stopping(HostId(lease.owner.0 + 1)).await.unwrap().is_empty());
    // Asked again it is the same.
    assert_eq!(scene.cancel(lease.id).await, Cancelled::Stopping(lease));

    let checkpoint = Checkpoint { lease, fields: Json::of(&7), reports: Json::of(&["early"]) };
    assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Written);
    scene.writers.log(LogChunk { lease, seq: 1, lines: Json::of::<[i32]>(&[]) }).await;
    assert_eq!(scene.count("logs").await, 1);
    let completed = result(&scene, &outcome(Ended::Completed));
    assert_eq!(scene.writers.complete(lease, completed, ()).await.unwrap(), Fenced::Lost);
    for stranger in [Lease { attempt: 2, ..lease.to_stop() }, Lease { owner: HostId(-lease.owner.0 - 1), ..lease }] {
        let cancelled = result(&scene, &stopped());
        assert_eq!(scene.writers.complete(stranger, cancelled, ()).await.unwrap(), Fenced::Lost);
    }
    let cancelled = result(&scene, &stopped());
    assert_eq!(scene.writers.complete(lease.to_stop(), cancelled, ()).await.unwrap(), Fenced::Written);
    assert_eq!(scene.view(lease.id).await.schedule.status, Status::Cancelled);
    assert_eq!((scene.count("results").await, scene.count("queue").await), (1, 0));
    assert!(scene.store.stopping(lease.owner).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_a_cancel_and_an_end_exactly_one_wins() {
    let mut scene = Scene::new().await;
    scene.slots = Slots::new(1_000);
    for _ in 0..40 {
        let lease = scene.accept().await.lease;
        let completed = result(&scene, &outcome(Ended::Completed));
        let (written, cancelled) = tokio::join!(scene.writers.complete(lease, completed, ()), scene.cancel(lease.id));
        match (written.unwrap(), cancelled) {
            (Fenced::Written, Cancelled::TooLate) => {
                assert_eq!(scene.view(lease.id).await.schedule.status, Status::Completed);
            }
            (Fenced::Lost, Cancelled::Stopping(marked)) => assert_eq!(marked, lease),
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn a_host_that_dies_or_leaves_does_not_bring_back_what_it_was_to_stop() {
    let mut scene = Scene::new().await;
    let session = scene.store.session("a test").await.unwrap();
    let (kept, lost) = (scene.accept().await.lease, scene.accept().await.lease);
    let checkpoint = Checkpoint { lease: lost, fields: Json::of(&7), reports: Json::of(&["early"]) };
    assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Written);
    for lease in [kept, lost] {
        assert_eq!(scene.cancel(lease.id).await, Cancelled::Stopping(lease));
    }
    // The host lives.
    assert_eq!(bury(&session, 1).await.unwrap(), Buried::default());
    assert!(scene.store.end(kept.to_stop(), &ending::cancelled()).await.unwrap());
    session.execute("delete from hosts", &[]).await.unwrap();
    assert_eq!(bury(&session, 1).await.unwrap(), Buried { ended: vec![lost.id], ..Buried::default() });
    let view = scene.view(lost.id).await;
    assert_eq!((view.schedule.status, view.fields.as_str()), (Status::Cancelled, "7"));
    assert_eq!(view.schedule.reports, [Json::of("early")]);

    scene.lease = HostLease::register(&scene.store, Role::All).await.unwrap();
    let left = scene.accept().await.lease;
    assert_eq!(scene.cancel(left.id).await, Cancelled::Stopping(left));
    assert_eq!(scene.store.leave(left.owner).await.unwrap(), 0);
    assert_eq!(scene.view(left.id).await.schedule.status, Status::Cancelled);
}

#[tokio::test]
async fn bulk_cancels_take_what_matches_and_nothing_else() {
    let scene = Scene::new().await;
    let before = scene.pending().await;
    let middle = scene.store.now().await.unwrap();
    let other = NewWalker { walker: "other".into(), ..scene.walker() };
    scene.writers.accept(other.clone(), None).await.unwrap();
    let foreign = NewWalker { root: Uuid::now_v7(), ..scene.walker() };
    scene.writers.accept(foreign.clone(), None).await.unwrap();
    let running = scene.accept().await.lease;
    let all = async |actor: &Actor, name: Option<&str>, stands, before| {
        let filter = CancelFilter { name: name.map(str::to_owned), stands, before };
        let mut ids = scene.store.live(actor, &filter, None).await.unwrap();
        ids.sort_unstable();
        ids
    };
    let now = scene.store.now().await.unwrap();
    let mine = &scene.actor;
    let tenant = Actor { reach: Reach::Tenant, ..scene.actor };
    let elsewhere = Actor { tenant: TenantId(mine.tenant.0 + 1), ..tenant };
    assert_eq!(all(mine, None, None, now).await, [before, other.id, running.id]);
    assert_eq!(all(&tenant, None, None, now).await, [before, other.id, foreign.id, running.id]);
    assert!(all(&elsewhere, None, None, now).await.is_empty());
    assert_eq!(all(mine, Some("other"), None, now).await, [other.id]);
    assert_eq!(all(mine, None, Some(Stands::Running), now).await, [running.id]);
    assert_eq!(all(mine, None, Some(Stands::Pending), now).await, [before, other.id]);
    assert_eq!(all(mine, None, None, middle).await, [before]);

    let ids = [before, other.id, running.id];
    let done = scene.store.cancel_all(scene.actor.tenant, &ids, Some(Stands::Pending)).await.unwrap();
    assert_eq!((done.ended.len(), done.stopping.len()), (2, 0));
    let done = scene.store.cancel_all(scene.actor.tenant, &ids, None).await.unwrap();
    assert_eq!((done.ended.len(), done.stopping), (0, vec![running]));
    let left = scene.store.walker(&tenant, &Scene::id(foreign.id)).await.unwrap().unwrap();
    assert_eq!(left.schedule.status, Status::Pending);
}

#[tokio::test]
async fn a_retry_goes_on_from_the_last_save_as_a_new_attempt() {
    let scene = Scene::new().await;
    let lease = scene.accept().await.lease;
    let id = Scene::id(lease.id);
    assert!(!scene.retry(&scene.actor, &id).await, "it is live");
    let failed = outcome(Ended::Failed(Failure::new(Code::GuestError, "no\0luck")));
    // Two reports, one of them saved.
    let mut row = result(&scene, &failed);
    row.reports = Json::of(&["o\0ne", "two"]);
    row.logs = Some(Json::of::<[i32]>(&[]));
    assert_eq!(scene.writers.complete(lease, row, ()).await.unwrap(), Fenced::Written);
    for stranger in [
        Actor { root: Uuid::now_v7(), ..scene.actor },
        Actor { tenant: TenantId(scene.actor.tenant.0 + 1), reach: Reach::Tenant, ..scene.actor },
    ] {
        assert!(!scene.retry(&stranger, &id).await);
        assert!(!scene.store.forget_walker(&stranger, &id).await.unwrap());
        assert_eq!(scene.store.cancel(&stranger, &id).await.unwrap(), Cancelled::Unknown);
    }
    assert!(scene.retry(&scene.actor, &id).await);
    assert!(!scene.retry(&scene.actor, &id).await, "once");
    let view = scene.view(lease.id).await;
    assert_eq!((view.schedule.status, view.fields.as_str()), (Status::Pending, r#"{"value":1}"#));
    assert_eq!(view.schedule.reports, [Json::of("o\0ne")]);
    let [earlier] = view.run.attempts.as_slice() else { panic!("{:?}", view.run.attempts) };
    assert_eq!((earlier.attempt, earlier.code.as_str()), (1, "guest.error"));
    assert_eq!(earlier.error.as_deref(), Some("no\u{fffd}luck"));

    let again = scene.claimed(1).await.remove(0);
    assert_eq!(again.lease.attempt, 2);
    let input = again.input.unwrap();
    assert!(input.is_saved);
    assert_eq!((input.fields.as_str(), input.reports.as_slice()), (r#"{"value":1}"#, [Json::of("o\0ne")].as_slice()));
    let late = result(&scene, &outcome(Ended::Completed));
    assert_eq!(scene.writers.complete(lease, late, ()).await.unwrap(), Fenced::Lost, "the first attempt is over");
    let completed = result(&scene, &outcome(Ended::Completed));
    assert_eq!(scene.writers.complete(again.lease, completed, ()).await.unwrap(), Fenced::Written);
    assert!(!scene.retry(&scene.actor, &id).await, "it ended well");
    assert_eq!(scene.view(lease.id).await.run.attempts.len(), 1);

    assert!(scene.store.forget_walker(&scene.actor, &id).await.unwrap());
    assert!(scene.store.walker(&scene.actor, &id).await.unwrap().is_none());
    for table in ["walkers", "results", "attempts", "logs", "checkpoints", "queue"] {
        assert_eq!(scene.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn what_was_cancelled_before_it_began_can_be_retried_as_its_first_attempt() {
    let scene = Scene::new().await;
    let id = scene.pending().await;
    assert_eq!(scene.cancel(id).await, Cancelled::Ended);
    assert!(scene.retry(&scene.actor, &Scene::id(id)).await);
    let claimed = scene.claimed(1).await.remove(0);
    assert_eq!((claimed.lease.attempt, claimed.input.unwrap().is_saved), (1, false));
    assert!(scene.view(id).await.run.attempts.is_empty());
    assert!(!scene.store.forget_walker(&scene.actor, &Scene::id(id)).await.unwrap(), "it is live");
}

#[tokio::test]
async fn a_retry_waits_in_the_lane_where_its_walker_waited() {
    let scene = Scene::new().await;
    for priority in [Priority::Low, Priority::High] {
        let walker = NewWalker { priority, ..scene.walker() };
        let id = Scene::id(walker.id);
        scene.queue(walker.clone()).await;
        assert_eq!(scene.cancel(id.uuid).await, Cancelled::Ended);
        assert_eq!(scene.store.priority(&scene.actor, &id).await.unwrap(), Some(priority));
        let stranger = Actor { root: Uuid::now_v7(), ..scene.actor };
        assert_eq!(scene.store.priority(&stranger, &id).await.unwrap(), None);
        let lane = scene.lane(&walker).await;
        assert!(scene.store.retry(&scene.actor, &id, lane).await.unwrap());
        assert_eq!(scene.claimed(1).await[0].lane, lane);
    }
}
