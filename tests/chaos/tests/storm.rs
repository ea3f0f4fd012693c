//! Everything at once.

use walker_chaos::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_lose_nothing_acknowledged_and_run_nothing_to_two_results() {
    run(Plan::with_kills(30)).await;
}
