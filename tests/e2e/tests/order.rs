//! Who comes first and how many at once, across hosts: priorities, limits of concurrency, and what is counted.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use serde_json::{Value, json};
use walker_harness::{Client, Host, Options};

use crate::control::{keyed, saved, two_hosts};
use crate::limits::patch;
use crate::scene;

/// How many walkers run.
async fn running(client: &Client) -> usize {
    client.get("/walkers?status=running").await.expect(200)["walkers"].as_array().unwrap().len()
}

/// Waits for their ends; answers the most that were seen to run at once.
async fn most_at_once(client: &Client, ids: &[String]) -> usize {
    let ended = join_all(ids.iter().map(|id| client.ended(id)));
    tokio::pin!(ended);
    let mut most = 0;
    loop {
        tokio::select! {
            views = &mut ended => {
                for view in views {
                    assert_eq!(view["schedule"]["status"], "completed", "{view}");
                }
                return most;
            }
            now = running(client) => most = most.max(now),
        }
    }
}

#[tokio::test]
async fn one_at_a_time_on_all_hosts_and_the_highest_priority_first() {
    let (one, second, other) = two_hosts(&[]).await;
    let first = one.client.start("takes_turns", &json!({"ms": 1_500})).await;
    saved(&one.client, &first, "stage", "running").await;
    let mut ids = vec![first];
    for (at, priority) in ["low", "normal", "high", "low", "normal", "high"].into_iter().enumerate() {
        let client = if at % 2 == 0 { &one.client } else { &other };
        let path = format!("/walker/takes_turns?priority={priority}");
        let accepted = client.post(&path, &json!({})).await.expect(200);
        ids.push(accepted["walker_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(most_at_once(&one.client, &ids).await, 1);
    let mut began = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let view = one.client.ended(id).await;
        began.push((scene::time(&view["schedule"]["executed_date"]).to_owned(), at));
    }
    began.sort_unstable();
    let order: Vec<usize> = began.into_iter().map(|(_, at)| at).collect();
    assert_eq!(order, [0, 3, 6, 2, 5, 1, 4], "the first, then by priority, then as they came");
    one.client.post("/walker/takes_turns?priority=urgent", &json!({})).await.problem(400, "query.invalid");
    one.client.post("/walker/echo?priority=high", &json!({})).await.problem(422, "walker.not_deferrable");
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_tenant_runs_so_many_at_once_on_all_hosts() {
    let one = scene::host().await;
    patch(&one, "default", json!({"running_walkers": 2})).await.expect(200);
    let second = Host::start(Options { database_url: one.options().database_url.clone(), ..Options::default() }).await;
    let other = Client::new(&second.url, one.client.token());
    let mut ids = Vec::new();
    for client in [&one.client, &other, &one.client, &other] {
        ids.push(client.start("sleeps", &json!({"ms": 300})).await);
        ids.push(client.start("waits_for_save", &json!({"ms": 300})).await);
    }
    assert_eq!(most_at_once(&one.client, &ids).await, 2);
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn nobody_jumps_a_queue_that_another_host_took_in() {
    let (one, second, other) = two_hosts(&["--slots", "1"]).await;
    // What compiling the module takes there is not asked here.
    other.run("waits_for_save", &json!({"ms": 0})).await;
    let long = one.client.start("sleeps", &json!({})).await;
    saved(&one.client, &long, "stage", "saved").await;
    let busy = other.start("waits_for_save", &json!({"ms": 1_000})).await;
    saved(&other, &busy, "step", 1).await;
    let mut queued = Vec::new();
    for _ in 0..6 {
        queued.push(one.client.start("waits_for_save", &json!({"ms": 100})).await);
    }
    // The other host has taken the first, and so knows that others wait. Its slot comes free five more times.
    saved(&other, &queued[0], "step", 1).await;
    let have_begun = AtomicBool::new(false);
    let come_later = async || {
        let mut later = Vec::new();
        while !have_begun.load(Ordering::Relaxed) {
            later.push(other.start("waits_for_save", &json!({"ms": 0})).await);
        }
        later
    };
    let watch = async {
        saved(&other, &queued[5], "step", 1).await;
        have_begun.store(true, Ordering::Relaxed);
    };
    let (mut later, more, ()) = tokio::join!(come_later(), come_later(), watch);
    later.extend(more);
    let began = async |id: &str| {
        let schedule = other.ended(id).await["schedule"].take();
        assert_eq!(schedule["status"], "completed", "{schedule}");
        scene::time(&schedule["executed_date"]).to_owned()
    };
    let last = began(&queued[5]).await;
    for id in &later {
        let began = began(id).await;
        assert!(began > last, "one that came later began at {began}, the last of those that waited at {last}");
    }
    one.client.post(&format!("/walkers/{long}/cancel"), &json!({})).await.expect(202);
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn batches_keyed_requests_and_retries_count_and_what_is_cancelled_counts_no_more() {
    let host = scene::host().await;
    let client = &host.client;
    patch(&host, "default", json!({"live_walkers": 3})).await.expect(200);
    let batch = async |count: usize| {
        client.post("/walker/sample/batch?delay=1h", &json!({"walkers": vec![json!({}); count]})).await
    };
    let once = async |key: &str| client.send(keyed(client, "/walker/sample?delay=1h", key, &json!({}))).await;
    let cancel_all = async || client.post("/walkers/cancel", &json!({})).await.expect(200)["cancelled"].take();

    let kept = once("kept").await.expect(200);
    let refused = batch(3).await;
    let problem = refused.problem(429, "quota.walkers");
    assert!(problem["detail"].as_str().unwrap().contains("may have 3 walkers"), "{problem}");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(running(client).await, 0);
    batch(2).await.expect(200);
    let refused = once("new").await;
    refused.problem(429, "quota.walkers");
    assert_eq!(refused.headers["retry-after"], "1");
    client.send(keyed(client, "/walker/echo", "sync", &json!({}))).await.problem(429, "quota.walkers");
    // What was answered once is answered again, full or not.
    assert_eq!(once("kept").await.expect(200), kept);

    assert_eq!(cancel_all().await, 3);
    let ids = batch(3).await.expect(200)["walker_ids"].take();
    let one = kept["walker_id"].as_str().unwrap();
    let retry = async || client.post(&format!("/walkers/{one}/retry"), &json!({})).await;
    let refused = retry().await;
    refused.problem(429, "quota.walkers");
    assert_eq!(refused.headers["retry-after"], "1");
    client.post(&format!("/walkers/{}/cancel", ids[0].as_str().unwrap()), &json!({})).await.expect(202);
    retry().await.expect(202);
    assert_eq!(client.ended(one).await["schedule"]["status"], "completed");
    client.post(&format!("/walkers/{one}/retry"), &json!({})).await.problem(409, "walker.is_completed");
    assert_eq!(cancel_all().await, 2);
    let page: Value = client.get("/walkers?status=pending").await.expect(200);
    assert_eq!(page["walkers"], json!([]));
    host.stop().await;
}
