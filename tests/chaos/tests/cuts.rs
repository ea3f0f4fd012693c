//! Connections cut at every point of the protocol, in both directions.

use futures::future::join_all;
use walker_chaos::{Fleet, Kind, Ledger, post, settled};
use walker_harness::Way;

/// Steps that have no common divisor with messages' lengths, so that cuts fall everywhere in them.
const STEPS: [(Way, usize, usize); 2] = [(Way::Asking, 4_000, 67), (Way::Answering, 1_500, 23)];

/// More at once than a host has slots: some walkers are stored as claimed, others wait and are claimed by either host, so
/// that every statement of a walker's life crosses a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_every_point_lose_and_double_nothing() {
    let fleet = Fleet::start("cuts", 2, &["--slots", "1"]).await;
    let ledger = Ledger::default();
    let mut cuts = 0;
    for (way, bytes, step) in STEPS {
        for after in (1..bytes).step_by(step) {
            let at = cuts % fleet.size();
            let blown = fleet.proxy(at).fuses_blown();
            fleet.proxy(at).cut_after(way, after);
            cuts += 1;
            while fleet.proxy(at).fuses_blown() == blown {
                let client = fleet.any_client(at).unwrap();
                join_all((0..4).map(|_| post(&client, Kind::Short, &ledger))).await;
            }
        }
    }
    let (walkers, _, given_up) = settled(&fleet, &ledger).await;
    assert!(walkers as usize >= ledger.count() && ledger.count() > 50, "{walkers} {}", ledger.count());
    assert_eq!(given_up, 0, "no host died");
    assert_eq!(fleet.errors(), Vec::<String>::new());
    fleet.stop().await;
}
