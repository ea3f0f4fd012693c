//! How many requests a tenant's callers may make a second.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use walker_harness::{Client, Host};

use crate::identity::{key, user};
use crate::limits::patch;
use crate::scene;

/// Asks so often at once, each of the callers in turn; answers how many were let through, and how long it took.
async fn ask(callers: &[&Client], count: usize) -> (usize, Duration) {
    let began = Instant::now();
    let answers = join_all((0..count).map(|at| callers[at % callers.len()].get("/whoami"))).await;
    let took = began.elapsed();
    // Who has no token is let through to be told so.
    let (passed, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| [200, 401].contains(&answer.status.as_u16()));
    for refused in refused {
        let problem = refused.problem(429, "rate.requests");
        assert_eq!(refused.headers["retry-after"], "1");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("slow down") && detail.contains("quota requests_per_second"), "{detail}");
    }
    (passed.len(), took)
}

/// So many pass of a rate that had come back whole: at once, and what came back meanwhile.
#[track_caller]
fn within(rate: usize, (passed, took): (usize, Duration)) {
    let most = rate + (rate as f64 * took.as_secs_f64()).ceil() as usize;
    assert!((rate..=most).contains(&passed), "{passed} passed of {rate} a second in {took:?}");
}

async fn second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_tenants_callers_share_what_it_may_ask_and_nobody_else_is_slowed_down() {
    let host = scene::host().await;
    let (user, _) = user(&host, "ada@example.com").await;
    let nobody = host.client.with_token(None);
    host.operator().post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let (other, _) = key(&host, "acme", json!({"name": "asks", "scopes": ["read"]})).await;
    let callers = [&host.client, &user, &nobody];
    assert_eq!(ask(&callers, 200).await.0, 200, "by default nobody is counted");

    patch(&host, "default", json!({"requests_per_second": 20})).await.expect(200);
    within(20, ask(&callers, 200).await);
    assert_eq!(ask(&[&other, &host.operator()], 200).await.0, 200);
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(nobody.get(open).await.status, 200, "{open}");
    }
    // As told: after a second there is as much again.
    second().await;
    within(20, ask(&callers, 200).await);

    // Whoever has no token leaves half to those who have.
    second().await;
    within(10, ask(&[&nobody], 200).await);
    assert!(ask(&[&user], 200).await.0 >= 10);

    patch(&host, "default", json!({"requests_per_second": 100})).await.expect(200);
    within(100, ask(&callers, 300).await);
    patch(&host, "default", json!({"requests_per_second": null})).await.expect(200);
    assert_eq!(ask(&callers, 300).await.0, 300);
    host.stop().await;
}

#[tokio::test]
async fn hosts_share_a_tenants_requests_and_runners_take_none() {
    let host = scene::host().await;
    let mut runner = host.options().clone();
    runner.args.extend(["--role".to_owned(), "runner".to_owned()]);
    let runner = Host::start(runner).await;
    let there = Host::start(host.options().clone()).await;
    patch(&host, "default", json!({"requests_per_second": 40})).await.expect(200);
    let other = there.client.with_token(host.client.token());
    // Each hears of the other within a heartbeat, and of the quota within five seconds.
    for client in [&host.client, &other] {
        let began = Instant::now();
        loop {
            second().await;
            let (passed, took) = ask(&[client], 100).await;
            if passed <= 20 + (20.0 * took.as_secs_f64()).ceil() as usize {
                within(20, (passed, took));
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{passed} in {took:?}");
        }
    }
    // What the other one gave is there again when it has gone.
    there.stop().await;
    let began = Instant::now();
    loop {
        second().await;
        let (passed, took) = ask(&[&host.client], 100).await;
        if passed >= 40 {
            within(40, (passed, took));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{passed} in {took:?}");
    }
    runner.stop().await;
    host.stop().await;
}
