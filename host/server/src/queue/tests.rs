//! The queue's statements and loops against a real Postgres.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;
use walker_model::{Code, Ended, Failure, Json, Limits, NodeId, Outcome, Priority, Status, TenantId, Usage, WalkerId};

use super::lanes::Full;
use super::recovery::{Buried, bury};
use super::{Accepted, Claiming, Fenced, HostLease, Lanes, Slots, Start, Strays, Waiters, Writers, claim_due};
use crate::access::{Actor, Reach};
use crate::config::Role;
use crate::modules::Catalog;
use crate::quotas::QuotaRules;
use crate::store::cancel::Cancelled;
use crate::store::checkpoint::Checkpoint;
use crate::store::claim::{self, Claimed, Counted, Take, Takes};
use crate::store::complete::ResultRow;
use crate::store::intake::{self, NewWalker};
use crate::store::lanes::{Lane, LaneId};
use crate::store::logs::LogChunk;
use crate::store::strays::{self, Found};
use crate::store::{Error, HostId, Lease, ListFilter, Store, ending, hosts};
use crate::test_postgres;

mod claims;
mod control;
mod groups;
mod orphans;
mod readers;
mod retries;
mod stored;
mod usage;

/// A store with a published module, and what a host does with it.
pub(super) struct Scene {
    pub(super) store: Store,
    pub(super) actor: Actor,
    pub(super) lease: HostLease,
    pub(super) slots: Slots,
    pub(super) lanes: Lanes,
    pub(super) waiters: Waiters,
    pub(super) writers: Writers,
    pub(super) module_id: i64,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let store = test_postgres::store().await;
        let root = Uuid::now_v7();
        let client = store.client().await.unwrap();
        let tenant: i64 = client
            .query_one(
                "insert into tenants (name, root_id, public_root_id) values ('t', $1, gen_random_uuid()) returning id",
                &[&root],
            )
            .await
            .unwrap()
            .get(0);
        let module_id: i64 = client
            .query_one("insert into modules (tenant_id, name) values ($1, 'm') returning id", &[&tenant])
            .await
            .unwrap()
            .get(0);
        client
            .batch_execute(&format!(
                "insert into module_code values ('\\x{digest}', '');
                 insert into module_versions values ({module_id}, 1, '\\x{digest}', '[]')",
                digest = "00".repeat(32)
            ))
            .await
            .unwrap();
        let lease = HostLease::register(&store, Role::All).await.unwrap();
        let waiters = Waiters::default();
        let actor = Actor { tenant: TenantId(tenant), root, reach: Reach::Root };
        let lanes = Lanes::new(store.clone());
        let writers = Writers::start(&store, waiters.clone(), Some(lanes.clone()));
        Self { store, actor, lease, slots: Slots::new(4), lanes, waiters, writers, module_id }
    }

    pub(super) fn walker(&self) -> NewWalker {
        NewWalker {
            id: WalkerId::new("sample").uuid,
            tenant: self.actor.tenant,
            lane: LaneId::default(),
            priority: Priority::Normal,
            walker: "sample".into(),
            module_id: self.module_id,
            module_version: 1,
            node: NodeId::root(self.actor.root),
            root: self.actor.root,
            execute_date: None,
            custom: None,
            fields: Json::parse(r#"{"value":0,"text":"\u0000"}"#.into()).unwrap(),
            depth: 3,
        }
    }

    /// Stores a walker as this host's own.
    pub(super) async fn accept(&self) -> Accepted {
        let (start, mut accepted) = self.start();
        self.writers.accept(self.walker(), Some(start)).await.unwrap();
        accepted.try_recv().unwrap()
    }

    /// Stores a checkpoint.
    pub(super) async fn save(&self, checkpoint: Checkpoint) -> Result<Fenced, Error> {
        let under_way = Arc::<Mutex<()>>::default().lock_owned().await;
        self.writers.save(checkpoint, under_way).await
    }

    /// Has a walker start as this host's own, and tells when it does.
    pub(super) fn start(&self) -> (Start, oneshot::Receiver<Accepted>) {
        let (started, accepted) = oneshot::channel();
        let run = Box::new(move |accepted| drop(started.send(accepted)));
        (Start { owner: self.lease.id(), run }, accepted)
    }

    /// Stores a walker that waits in its lane, as another host would.
    pub(super) async fn queue(&self, mut walker: NewWalker) {
        walker.lane = self.lane(&walker).await;
        self.writers.accept(walker, None).await.unwrap();
    }

    /// Where a walker waits.
    pub(super) async fn lane(&self, walker: &NewWalker) -> LaneId {
        let lane = Lane { tenant: walker.tenant, walker: walker.walker.clone(), priority: walker.priority };
        self.lanes.number(&lane).await.unwrap()
    }

    /// Has a walker run again, as its caller may.
    pub(super) async fn retry(&self, actor: &Actor, id: &WalkerId) -> bool {
        self.store.retry(actor, id, self.lane(&self.walker()).await).await.unwrap()
    }

    /// What is waiting, taken by the statement alone: from each lane so many, and so many bytes in all.
    pub(super) async fn take(&self, lanes: &[(LaneId, i64)], at_most_bytes: i64) -> Vec<Claimed> {
        let session = self.store.queue_session("a test").await.unwrap();
        let statement = session.prepare(claim::CLAIM).await.unwrap();
        let lanes: Vec<Take> = lanes.iter().map(|(lane, at_most)| Take { lane: *lane, at_most: *at_most }).collect();
        let takes = Takes { lanes: &lanes, at_most_bytes };
        claim::claim(&session, &statement, self.lease.id(), takes, Counted::Freely).await.unwrap()
    }

    pub(super) async fn view(&self, id: Uuid) -> crate::store::WalkerView {
        self.store.walker(&self.actor, &WalkerId { name: "sample".into(), uuid: id }).await.unwrap().unwrap()
    }

    /// What is waiting, taken by the claim loop.
    pub(super) async fn claimed(&self, count: usize) -> Vec<Claimed> {
        let (sender, mut claimed) = mpsc::unbounded_channel();
        let claiming = Claiming {
            store: self.store.clone(),
            lease: self.lease.clone(),
            slots: self.slots.clone(),
            lanes: self.lanes.clone(),
            catalog: Catalog::new(self.store.clone()),
            quotas: QuotaRules::default(),
            strays: Strays::default(),
        };
        // Also when nobody waits any more: a claimer left behind would take what the next one is to find.
        let _claiming = AbortOnDropHandle::new(tokio::spawn(claim_due(claiming, move |one, slot| {
            drop(slot);
            drop(sender.send(one));
        })));
        let mut all = Vec::new();
        while all.len() < count {
            all.push(claimed.recv().await.unwrap());
        }
        all
    }
}

pub(super) fn outcome(ended: Ended) -> Outcome {
    Outcome {
        ended,
        fields: Some(Json::of(&serde_json::json!({"value": 1}))),
        reports: vec![Json::of("one"), Json::parse("1.10".into()).unwrap()],
        http_status: None,
        custom: None,
        usage: Usage { fuel: 7, ..Usage::default() },
        limits: Limits::default(),
    }
}

pub(super) fn result(scene: &Scene, outcome: &Outcome) -> ResultRow {
    ResultRow::new(scene.actor.root, Utc::now(), outcome, None, Some(1))
}

#[tokio::test]
async fn an_accepted_walker_runs_here_and_keeps_every_field_after_its_end() {
    let scene = Scene::new().await;
    let accepted = scene.accept().await;
    let running = scene.view(accepted.lease.id).await;
    assert_eq!(running.schedule.status, Status::Running);
    assert_eq!(running.schedule.executed_date, Some(accepted.claimed_at));
    assert_eq!(running.fields.as_str(), r#"{"value":0,"text":"\u0000"}"#);

    let waiter = scene.waiters.enter(accepted.lease.id);
    let ended = outcome(Ended::Completed);
    let shown = Some(Box::new(running));
    let written = scene.writers.complete_and_show(accepted.lease, result(&scene, &ended), shown, ()).await.unwrap();
    assert_eq!(written, Fenced::Written);
    waiter.ended().await;
    let view = scene.view(accepted.lease.id).await;
    assert_eq!(view.schedule.status, Status::Completed);
    assert_eq!(view.schedule.http_status, Some(200));
    assert_eq!(view.schedule.node_id, NodeId::root(scene.actor.root));
    assert_eq!(view.schedule.reports, ended.reports);
    assert_eq!(view.fields, ended.fields.unwrap());
    assert_eq!(view.run.usage, Some((ended.usage, ended.limits)));
    assert!(view.run.finished_date >= view.schedule.executed_date);
    assert_eq!(waiter.view().unwrap().run.finished_date, view.run.finished_date);
}

#[tokio::test]
async fn a_lost_lease_writes_nothing() {
    let scene = Scene::new().await;
    let lease = scene.accept().await.lease;
    let failed = outcome(Ended::Failed(Failure::new(Code::GuestError, "no\0good")));
    for lost in [Lease { owner: HostId(lease.owner.0 + 1), ..lease }, Lease { attempt: 2, ..lease }] {
        let checkpoint = Checkpoint { lease: lost, fields: Json::null(), reports: Json::null() };
        assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Lost);
        scene.writers.log(LogChunk { lease: lost, seq: 1, lines: Json::of::<[i32]>(&[]) }).await;
        assert_eq!(scene.writers.complete(lost, result(&scene, &failed), ()).await.unwrap(), Fenced::Lost);
    }
    assert_eq!(scene.view(lease.id).await.schedule.status, Status::Running);
    let chunks: i64 =
        scene.store.client().await.unwrap().query_one("select count(*) from logs", &[]).await.unwrap().get(0);
    assert_eq!(chunks, 0);
    assert_eq!(scene.writers.complete(lease, result(&scene, &failed), ()).await.unwrap(), Fenced::Written);
    let view = scene.view(lease.id).await;
    assert_eq!(view.schedule.status, Status::Failed);
    assert_eq!(view.schedule.error.as_deref(), Some("no\u{fffd}good"));
    assert_eq!(view.run.failure.unwrap().message, "no\0good");
}

#[tokio::test]
async fn a_dead_hosts_walker_goes_on_from_its_checkpoint_until_attempts_run_out() {
    let mut scene = Scene::new().await;
    let lease = scene.accept().await.lease;
    let checkpoint =
        Checkpoint { lease, fields: Json::of(&serde_json::json!({"value": 5})), reports: Json::of(&["early"]) };
    assert_eq!(scene.save(checkpoint).await.unwrap(), Fenced::Written);
    let saved = scene.view(lease.id).await;
    assert_eq!((saved.fields.as_str(), saved.schedule.reports.len()), (r#"{"value":5}"#, 1));

    let session = scene.store.session("a test").await.unwrap();
    // The host lives: nothing is taken from it.
    assert_eq!(bury(&session, 1).await.unwrap(), Buried::default());
    session.execute("update hosts set heartbeat = now() - interval '1 minute'", &[]).await.unwrap();
    assert_eq!(hosts::reap(&session, Duration::from_secs(7)).await.unwrap(), 1);
    assert_eq!(bury(&session, 2).await.unwrap(), Buried { freed: 1, ..Buried::default() });
    assert_eq!(scene.view(lease.id).await.schedule.status, Status::Pending);

    scene.lease = HostLease::register(&scene.store, Role::All).await.unwrap();
    let again = scene.claimed(1).await.remove(0);
    assert_eq!((again.lease.id, again.lease.attempt), (lease.id, 2));
    let input = again.input.unwrap();
    assert!(input.is_saved);
    assert_eq!(input.fields.as_str(), r#"{"value":5}"#);
    assert_eq!(input.reports, [Json::of("early")]);

    session.execute("delete from hosts", &[]).await.unwrap();
    assert_eq!(bury(&session, 2).await.unwrap(), Buried { given_up: vec![lease.id], ..Buried::default() });
    let lost = scene.view(lease.id).await;
    assert_eq!(lost.schedule.status, Status::Failed);
    assert_eq!(lost.schedule.http_status, Some(503));
    assert_eq!((lost.fields.as_str(), lost.schedule.reports.len()), (r#"{"value":5}"#, 1));
}

#[tokio::test]
async fn a_host_that_leaves_hands_its_walkers_back_with_all_they_printed_and_nothing_lost() {
    let mut scene = Scene::new().await;
    let session = scene.store.session("a test").await.unwrap();
    let mut lease = scene.accept().await.lease;
    // However often: no attempt of these was lost.
    for attempt in 1..=4 {
        assert_eq!(lease.attempt, attempt);
        let lines = Json::of(&[serde_json::json!({"seq": 1, "at": "x", "stream": "stdout", "text": "same"})]);
        scene.writers.log(LogChunk { lease, seq: 1, lines }).await;
        assert_eq!(scene.store.leave(lease.owner).await.unwrap(), 1);
        scene.lease = HostLease::register(&scene.store, Role::All).await.unwrap();
        lease = scene.claimed(1).await[0].lease;
    }
    let chunks: i64 = session.query_one("select count(*) from logs", &[]).await.unwrap().get(0);
    assert_eq!(chunks, 4, "one of each attempt");
    assert!(scene.view(lease.id).await.run.attempts.is_empty());
    // The first one that is lost is the first of three.
    session.execute("delete from hosts", &[]).await.unwrap();
    assert_eq!(bury(&session, 2).await.unwrap(), Buried { freed: 1, ..Buried::default() });
}

#[tokio::test]
async fn one_bad_row_does_not_take_its_batch_along() {
    let scene = Scene::new().await;
    // No check lets such a name through; Postgres is the last one to refuse it.
    let bad = NewWalker { walker: "sam\0ple".into(), ..scene.walker() };
    let good: Vec<NewWalker> = (0..20).map(|_| scene.walker()).collect();
    let ids: Vec<Uuid> = good.iter().map(|walker| walker.id).collect();
    let mut rows = good;
    rows.insert(7, bad);
    let written = futures::future::join_all(rows.into_iter().map(|row| scene.writers.accept(row, None))).await;
    assert_eq!(written.iter().filter(|written| written.is_err()).count(), 1);
    assert!(written[7].is_err());
    for id in ids {
        assert_eq!(scene.view(id).await.schedule.status, Status::Pending);
    }
}

#[tokio::test]
async fn a_cut_connection_neither_loses_nor_doubles_anything() {
    let scene = Scene::new().await;
    let (store, actor) = (scene.store.clone(), scene.actor);
    let rows: Vec<NewWalker> = (0..300).map(|_| scene.walker()).collect();
    let ids: Vec<Uuid> = rows.iter().map(|walker| walker.id).collect();
    let cutter = store.clone();
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
    for rows in rows.chunks(10) {
        let written = rows.iter().map(|row| scene.writers.accept(row.clone(), None));
        for written in futures::future::join_all(written).await {
            written.unwrap();
        }
    }
    cutting.await.unwrap();
    let queued: i64 = store
        .client()
        .await
        .unwrap()
        .query_one("select count(*) from queue where id = any($1)", &[&ids])
        .await
        .unwrap()
        .get(0);
    assert_eq!(queued, 300);
    let filter = ListFilter { limit: 1000, ..ListFilter::default() };
    assert_eq!(store.walkers(&actor, &filter).await.unwrap().len(), 300);
}

#[tokio::test]
async fn what_was_committed_before_its_answer_was_lost_is_recognised_whether_or_not_it_has_ended() {
    let scene = Scene::new().await;
    let (waits, ended) = (scene.walker(), scene.walker());
    let mut session = scene.store.queue_session("a test").await.unwrap();
    let statement = session.prepare(intake::INTAKE).await.unwrap();
    for walker in [&waits, &ended] {
        intake::insert(&mut session, &statement, &[(walker, Some(scene.lease.id()))], false).await.unwrap();
    }
    let lease = Lease { id: ended.id, owner: scene.lease.id(), attempt: 1 };
    scene.writers.complete(lease, result(&scene, &outcome(Ended::Completed)), ()).await.unwrap();
    for walker in [&waits, &ended] {
        let rows = [(walker, Some(scene.lease.id()))];
        assert!(intake::insert(&mut session, &statement, &rows, true).await.is_ok());
        // Sent for the first time, it would be a mistake of ours.
        assert!(intake::insert(&mut session, &statement, &rows, false).await.is_err());
    }
}
