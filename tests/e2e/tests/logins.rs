//! Passwords under attack: how often they may be tried, what a refusal gives away, and what ends a session.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Answer, Client, Host, Options};

use crate::scene;

const PASSWORD: &str = "correct horse battery staple";
const WRONG: &str = "incorrect horse battery staple";

/// Calls as if from an address, by way of a proxy that the host trusts, or does not.
async fn from(host: &Host, address: &str, path: &str, email: &str, password: &str) -> Answer {
    let client = host.client.with_token(None);
    let body = json!({"email": email, "password": password});
    let request = client.request(Method::POST, path).header("x-forwarded-for", address).json(&body);
    client.send(request).await
}

async fn login(host: &Host, address: &str, email: &str, password: &str) -> Answer {
    from(host, address, "/user/login", email, password).await
}

/// How many logins were answered before the first that came too soon, which must say when to come again.
async fn until_refused(host: &Host, address: impl Fn(usize) -> String, email: impl Fn(usize) -> String) -> usize {
    for count in 0..100 {
        let answer = login(host, &address(count), &email(count), WRONG).await;
        if answer.status != 429 {
            answer.problem(401, "login.failed");
            continue;
        }
        let problem = answer.problem(429, "rate.login");
        let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("in {seconds} s")), "{problem}");
        return count;
    }
    panic!("nothing is refused");
}

async fn host_with(config: &str) -> Host {
    let database_url = Some(scene::database().await);
    Host::start(Options { database_url, config: config.to_owned(), ..Options::default() }).await
}

#[tokio::test]
async fn guessing_is_slow_and_keeps_no_owner_out() {
    let host = host_with("logins_per_address = 20\nlogins_per_account = 8\ntrusted_proxies = ['127.0.0.1']").await;
    let home = "192.0.2.1";
    from(&host, home, "/user/register", "ada@example.org", PASSWORD).await.expect(201);
    login(&host, home, "ada@example.org", PASSWORD).await.expect(200);
    let one = |text: &'static str| move |_| text.to_owned();
    let many = |count| format!("198.51.100.{count}");
    let other = |count| format!("203.0.113.{count}");
    // Six of eight are left of the account; one address may take half of eight.
    assert_eq!(until_refused(&host, one("192.0.2.2"), one("ada@example.org")).await, 4);
    assert_eq!(until_refused(&host, many, one("ada@example.org")).await, 2);
    let session = login(&host, home, "ada@example.org", PASSWORD).await.expect(200);
    // Whoever found a session cannot guess the password with it, either: the fourth of four attempts, and one more.
    let found = host.client.with_token(session["token"].as_str());
    for (status, code) in [(401, "login.failed"), (429, "rate.login")] {
        let change = json!({"old_password": WRONG, "new_password": "another password"});
        let change = found.request(Method::POST, "/user/change_password").header("x-forwarded-for", home).json(&change);
        found.send(change).await.problem(status, code);
    }
    // Whether there is such a user makes no difference.
    assert_eq!(until_refused(&host, one("192.0.2.3"), one("nobody@example.org")).await, 4);
    assert_eq!(until_refused(&host, other, one("nobody@example.org")).await, 4);
    // One address, whatever it tries; registering counts as well.
    let emails = |count| format!("user{count}@example.org");
    assert_eq!(until_refused(&host, one("192.0.2.4"), emails).await, 20);
    let answer = from(&host, "192.0.2.4", "/user/register", "new@example.org", PASSWORD).await;
    answer.problem(429, "rate.login");
    from(&host, "192.0.2.5", "/user/register", "new@example.org", PASSWORD).await.expect(201);
    host.stop().await;
}

#[tokio::test]
async fn who_is_no_trusted_proxy_speaks_for_itself() {
    let host = host_with("logins_per_address = 5\ntrusted_proxies = ['10.0.0.0/8']").await;
    let refused = until_refused(&host, |count| format!("192.0.2.{count}"), |count| format!("u{count}@example.org"));
    assert_eq!(refused.await, 5);
    host.stop().await;
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_one_answer() {
    let host = host_with("").await;
    from(&host, "", "/user/register", "ada@example.org", PASSWORD).await.expect(201);
    let told = |answer: Answer| {
        let mut problem = answer.problem(401, "login.failed");
        problem.as_object_mut().unwrap().remove("request_id").unwrap();
        let mut headers: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
            .map(|header| format!("{header:?}"))
            .collect();
        headers.sort_unstable();
        (problem, headers)
    };
    let wrong = told(login(&host, "", "ada@example.org", WRONG).await);
    for (email, password) in [
        ("bob@example.org", PASSWORD),
        ("bob@example.org", WRONG),
        ("no address", PASSWORD),
        ("ada@example.org", ""),
        ("ada@example.org", &"x".repeat(2_000)),
    ] {
        assert_eq!(told(login(&host, "", email, password).await), wrong, "{email}");
    }
    host.stop().await;
}

/// Logs in; answers a client with the session, and the session.
async fn session(host: &Host, email: &str) -> (Client, Value) {
    let session = login(host, "", email, PASSWORD).await.expect(200);
    (host.client.with_token(session["token"].as_str()), session)
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_on_every_host() {
    let host = host_with("session_lifetime = '10m'").await;
    let other = Host::start(host.options().clone()).await;
    from(&host, "", "/user/register", "ada@example.org", PASSWORD).await.expect(201);
    let (here, opened) = session(&host, "ada@example.org").await;
    let (there, _) = session(&other, "ada@example.org").await;
    // Ten minutes from now, by the database's clock.
    let now = tokio_postgres::connect(host.options().database_url.as_ref().unwrap(), tokio_postgres::NoTls).await;
    let (client, connection) = now.unwrap();
    tokio::spawn(connection);
    let expiration = scene::time(&opened["user"]["expiration"]);
    let is_so = "select $1::text::timestamptz between now() + interval '9 min' and now() + interval '10 min'";
    assert!(client.query_one(is_so, &[&expiration]).await.unwrap().get::<_, bool>(0), "{expiration}");

    for client in [&here, &there] {
        client.get("/walkers").await.expect(200);
    }
    let change = json!({"old_password": PASSWORD, "new_password": WRONG});
    assert_eq!(here.post("/user/change_password", &change).await.status, 204);
    let changed = Instant::now();
    while there.get("/walkers").await.status != 401 {
        assert!(changed.elapsed() <= Duration::from_secs(5), "the other session goes on");
    }
    here.get("/walkers").await.expect(200);
    login(&other, "", "ada@example.org", PASSWORD).await.problem(401, "login.failed");
    login(&other, "", "ada@example.org", WRONG).await.expect(200);
    other.stop().await;
    host.stop().await;
}
