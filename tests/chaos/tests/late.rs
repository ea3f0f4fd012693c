//! A host that was suspended for longer than its lease.

use serde_json::{Value, json};
use walker_chaos::EXPECTED_LOG;
use walker_harness::{Cluster, Host, Options};

#[tokio::test]
async fn a_late_hosts_result_is_refused_and_its_walkers_other_attempt_counts() {
    let cluster = Cluster::start().await;
    let options =
        Options { database_url: Some(cluster.url().await), expected_log: EXPECTED_LOG.to_vec(), ..Options::default() };
    let late = Host::with_modules(options.clone(), &["seed", "faults"]).await;
    let id = late.client.start("waits_for_save", &json!({"ms": 1_000})).await;
    while late.client.get(&format!("/walkers/{id}")).await.expect(200)["walker"]["context"]["step"] != 1 {}
    late.pause();
    let other = Host::start(options).await;
    let view = other.client.ended(&id).await;
    let as_the_other_left_it = |view: &Value| {
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!(view["run"]["attempt"], 2, "{view}");
        let reports = json!([{"attempt": 1, "began_at": 0}, {"attempt": 2, "began_at": 1}]);
        assert_eq!(view["schedule"]["reports"], reports, "it went on from what was saved: {view}");
    };
    as_the_other_left_it(&view);
    late.resume();
    while !late.log().iter().any(|line| line.contains("came too late") && line.contains(id.rsplit(':').next().unwrap()))
    {
        tokio::task::yield_now().await;
    }
    let again = late.client.get(&format!("/walkers/{id}")).await.expect(200)["walker"].take();
    as_the_other_left_it(&again);
    assert_eq!(again, view, "the late result changed nothing");
    // It goes on as another host.
    assert_eq!(late.client.run("sample", &json!({})).await["schedule"]["status"], "completed");
    late.stop().await;
    other.stop().await;
}
