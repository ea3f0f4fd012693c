//! Several hosts on one Postgres: what one takes, another runs.

use futures::{StreamExt, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, NoTls};
use walker_harness::{Host, Options};

use crate::scene;

fn with_role(database: &str, role: &str) -> Options {
    let args = vec!["--role".to_owned(), role.to_owned()];
    Options { database_url: Some(database.to_owned()), args, ..Options::default() }
}

/// Hears what hosts tell each other about waiting walkers, from now on.
async fn words(database: &str) -> mpsc::UnboundedReceiver<String> {
    let (client, mut connection) = tokio_postgres::connect(database, NoTls).await.unwrap();
    let (sender, words) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context)).boxed();
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(word) = message
                && sender.send(word.payload().to_owned()).is_err()
            {
                return;
            }
        }
    });
    client.batch_execute("listen walkers_waiting").await.unwrap();
    // Lives as long as the words are wanted.
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(client);
    });
    words
}

#[tokio::test]
async fn an_api_host_takes_walkers_in_tells_a_runner_and_shows_what_came_of_them() {
    let database = scene::database().await;
    let api = Host::with_modules(with_role(&database, "api"), &["seed", "faults"]).await;
    let runner = Host::start(with_role(&database, "runner")).await;
    let mut words = words(&database).await;
    // Told only once the other host has been seen, which takes a heartbeat; it runs what it finds before that, too.
    let said = loop {
        let view = api.client.run("sample", &json!({})).await;
        assert_eq!(
            (&view["schedule"]["status"], &view["context"]["value"]),
            (&json!("completed"), &json!(1)),
            "{view}"
        );
        if let Ok(said) = words.try_recv() {
            break said;
        }
    };
    assert_eq!(said, api.id().to_string());
    // Many at once need few words.
    let posts = futures::future::join_all((0..200).map(async |_| api.client.start("sample", &json!({})).await)).await;
    for id in &posts {
        assert_eq!(api.client.ended(id).await["schedule"]["status"], "completed");
    }
    let mut count = 0;
    while words.try_recv().is_ok() {
        count += 1;
    }
    assert!(count <= 100, "{count} words for 200 walkers");
    // What is not due yet wakes nobody.
    let later = api.client.request(reqwest::Method::POST, "/walker/sample?delay=10m").json(&json!({}));
    let later = api.client.send(later).await.expect(200)["walker_id"].as_str().unwrap().to_owned();
    let due = api.client.start("sample", &json!({})).await;
    api.client.ended(&due).await;
    let view = api.client.get(&format!("/walkers/{later}")).await.expect(200)["walker"].take();
    assert_eq!(view["schedule"]["status"], "pending", "{view}");
    assert_eq!(runner.client.get("/healthz").await.status, 200);
    assert_eq!(runner.client.get("/walkers").await.status, 404, "it serves nobody");
    api.stop().await;
    runner.stop().await;
}

#[tokio::test]
async fn a_host_alone_tells_nobody() {
    let database = scene::database().await;
    let mut options = with_role(&database, "all");
    options.args.extend(["--slots".to_owned(), "4".to_owned()]);
    let host = Host::with_modules(options, &["seed", "faults"]).await;
    let (admin, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
    tokio::spawn(connection);
    // Two heartbeats: it has seen that there is nobody else.
    let first: std::time::SystemTime = admin.query_one("select heartbeat from hosts", &[]).await.unwrap().get(0);
    let mut seen = first;
    while seen == first {
        seen = admin.query_one("select heartbeat from hosts", &[]).await.unwrap().get(0);
    }
    let mut words = words(&database).await;
    // More at once than it has slots.
    let ids = futures::future::join_all(
        (0..100).map(async |_| host.client.start("waits_for_save", &json!({"ms": 50})).await),
    )
    .await;
    let mut waited = 0;
    for id in &ids {
        let schedule = host.client.ended(id).await["schedule"].take();
        assert_eq!(schedule["status"], "completed");
        waited += usize::from(scene::time(&schedule["executed_date"]) > scene::time(&schedule["execute_date"]));
    }
    assert!(waited > 50, "only {waited} waited: there was nothing to tell");
    assert!(words.try_recv().is_err());
    host.stop().await;
}
