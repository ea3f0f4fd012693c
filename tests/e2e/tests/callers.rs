//! What is known of a caller is not looked up again for each request.

use serde_json::json;
use tokio_postgres::NoTls;

use crate::identity::user;
use crate::scene;

/// Of each caller.
const REQUESTS: usize = 200;
/// What publishing, registering and logging in take, and what a host looks up of itself and anew every few seconds: far
/// less than once for each request of one caller.
const MOST_SCANS: i64 = REQUESTS as i64 / 2;

#[tokio::test]
async fn requests_of_known_callers_do_not_ask_the_database_who_they_are() {
    let host = scene::host().await;
    let (session, _) = user(&host, "ada@example.com").await;
    let (admin, connection) =
        tokio_postgres::connect(host.options().database_url.as_deref().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    // Connections tell what they did when they end at the latest.
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                  and backend_type = 'client backend'";
    let scans = "select sum(seq_scan + coalesce(idx_scan, 0))::int8 from pg_stat_user_tables
                 where relname in ('tokens', 'users', 'tenants')";
    let (key, open) = (host.client.clone(), host.client.with_token(None));
    for _ in 0..REQUESTS {
        key.post("/walker/echo", &json!({})).await.expect(200);
        session.post("/walker/echo", &json!({})).await.expect(200);
        open.post("/walker/open_echo", &json!({})).await.expect(200);
        session.get("/whoami").await.expect(200);
    }
    host.stop().await;
    while admin.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    let scans: i64 = admin.query_one(scans, &[]).await.unwrap().get(0);
    assert!(
        (1..=MOST_SCANS).contains(&scans),
        "{scans} looks at tokens, users and tenants for {REQUESTS} requests each"
    );
}
