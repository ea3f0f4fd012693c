//! Postgres plans a statement once and keeps the plan, by what it knew of the tables at that moment. A host that had nothing to do was
//! analysed as empty: what comes next must not go through whole tables for each of its rows.

use std::time::Duration;

use serde_json::json;
use tokio_postgres::NoTls;
use walker_harness::Client;

use crate::scene;

/// Walkers of each kind.
const WALKERS: usize = 4_000;
/// Of the most that one request may bring.
const BATCH: usize = 1_000;
/// How many rows and entries of indexes may be read for each: it is looked up a few times in each table.
const READS: i64 = 12;

async fn connect(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What was read so far of the keys of all tables that hold walkers, and of whole tables, once all sessions have told. But for what a host
/// does by the clock, so that a slow machine reads no more: it counts what waits, by other indexes, and looks through all of the queue for the
/// walkers of dead hosts.
async fn read(database: &tokio_postgres::Client) -> i64 {
    let sql = "select (select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables where relname ~ $1 and relname <> 'queue')::int8
                    + (select coalesce(sum(idx_tup_read), 0) from pg_stat_user_indexes
                       where relname ~ $1 and indexrelname ~ '_pkey$')::int8";
    let mut last = -1;
    loop {
        let tables = "^(queue|checkpoints|(walkers|results|attempts|logs)(_[0-9]+)?)$";
        let now = database.query_one(sql, &[&tables]).await.unwrap().get(0);
        if now == last {
            return now;
        }
        last = now;
        // A session tells no more than once a second, one without work within ten.
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
}

/// A few walkers that make the host send most of its statements, and are forgotten again.
async fn few(client: &Client) {
    for walker in ["sample", "fails_first", "floods_log"] {
        client.run(walker, &json!({})).await;
    }
    let ended = client.get("/walkers").await.expect(200);
    for walker in ended["walkers"].as_array().unwrap() {
        client.delete(&format!("/walkers/{}", walker["id"].as_str().unwrap())).await.expect(204);
    }
}

#[tokio::test]
async fn what_was_analysed_as_empty_is_not_gone_through_for_each_walker() {
    let host = scene::host().await;
    let client = &host.client;
    let database = connect(host.options().database_url.as_deref().unwrap()).await;
    let batch = json!({"walkers": vec![json!({}); BATCH]});
    // Pages that hold nothing any more, and are kept for what comes: as many rows are then expected as were found.
    client.post("/walker/echo_later/batch?delay=1h", &batch).await.expect(200);
    client.post("/walkers/cancel", &json!({})).await.expect(200);
    few(client).await;
    database.batch_execute("vacuum (analyze, truncate off)").await.unwrap();
    // Plans are made anew by whoever comes first.
    few(client).await;
    let before = read(&database).await;

    let mut last = String::new();
    for _ in 0..WALKERS / BATCH {
        for walker in ["sample", "echo_later?delay=1h"] {
            let (name, query) = walker.split_once('?').map_or((walker, ""), |(name, query)| (name, query));
            let answer = client.post(&format!("/walker/{name}/batch?{query}"), &batch).await.expect(200);
            let ids = answer["walker_ids"].as_array().unwrap();
            if query.is_empty() {
                last = ids[BATCH - 1].as_str().unwrap().to_owned();
            }
        }
    }
    client.ended(&last).await;
    let running = "/walkers?status=pending&name=sample";
    while !client.get(running).await.expect(200)["walkers"].as_array().unwrap().is_empty() {}
    client.post("/walkers/cancel", &json!({"name": "echo_later"})).await.expect(200);

    let each = (read(&database).await - before) / (2 * WALKERS as i64);
    assert!(each <= READS, "{each} reads for each of {} walkers", 2 * WALKERS);
    host.stop().await;
}
