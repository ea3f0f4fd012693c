//! Connections cut at every point of the protocol, in both directions.

use futures::future::join_all;
use walker_chaos::{Fleet, Kind, Ledger, post, settled};
use walker_harness::Way;

/// Steps that have no common divisor with messages' lengths, so that cuts fall everywhere in them.
const STEPS: [(Way, usize, usize); 2] = [(Way::Asking, 4_000, 67), (Way::Answering, 1_500, 23)];

/// Connections by what they are for, and what a host tells of one that ended with a statement on its way.
const CONNECTIONS: [(&str, &str); 6] = [
    ("accepted walkers", "lost the database with accepted walkers"),
    ("groups of walkers", "lost the database with groups of walkers"),
    ("results", "lost the database with results"),
    ("checkpoints", "lost the database with checkpoints"),
    ("failed attempts", "lost the database with failed attempts"),
    ("claims", "could not look for waiting walkers"),
];
/// Those that cancels share with others: of a lost one its caller tells.
const CANCELLING: &str = "requests";

/// Walkers cancelled at once: whether one of them meets the cut is chance.
const CANCELS: usize = 4;

/// More at once than a host has slots: some walkers are stored as claimed, others wait and are claimed by either host, so
/// that every statement of a walker's life crosses a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_every_point_lose_and_double_nothing() {
    let fleet = Fleet::start("cuts", 2, &["--slots", "1"], None).await;
    let ledger = Ledger::default();
    let mut cuts = 0;
    for (way, bytes, step) in STEPS {
        for after in (1..bytes).step_by(step) {
            cut(&fleet, &ledger, cuts, "", way, after).await;
            cuts += 1;
        }
    }
    // Where chance spared one: until it is cut, too. A connection that is only being made ends without a word.
    let statement = || CONNECTIONS.into_iter().find(|(_, text)| fleet.logged(text) == 0).map(|(name, _)| name);
    let spared = || statement().or((ledger.lost_cancels() == 0).then_some(CANCELLING));
    while let Some(name) = spared() {
        assert!(cuts < 300, "never cut with a statement on its way: {name}");
        cut(&fleet, &ledger, cuts, name, Way::Answering, 1 + cuts % 7).await;
        cuts += 1;
    }
    let (walkers, _, given_up) = settled(&fleet, &ledger).await;
    assert!(walkers as usize >= ledger.count() && ledger.count() > 50, "{walkers} {}", ledger.count());
    assert_eq!(given_up, 0, "no host died");
    assert_eq!(fleet.errors(), Vec::<String>::new());
    fleet.stop().await;
}

/// Asks in every way until a connection of this name has ended after so many bytes.
async fn cut(fleet: &Fleet, ledger: &Ledger, number: usize, name: &str, way: Way, after: usize) {
    let at = number % fleet.size();
    let blown = fleet.proxy(at).fuses_blown();
    fleet.proxy(at).cut_named(name, way, after);
    let mut asked = 0;
    while fleet.proxy(at).fuses_blown() == blown {
        assert!(asked < 1_000, "no connection called {name:?} passes {after} bytes, {way:?}");
        let known = (number * 1_000 + asked) as u64;
        asked += 1;
        let kinds = [Kind::Short, Kind::Short, Kind::Short, Kind::FailsFirst, Kind::Batch(known), Kind::Keyed(known)];
        // A cancel is asked of the host after the one that accepted the walker.
        let cancels = [Kind::Cancelled(20); CANCELS];
        let all = kinds.map(|kind| (at, kind)).into_iter().chain(cancels.map(|kind| (at + 1, kind)));
        join_all(all.map(|(at, kind)| post(fleet, at, kind, ledger))).await;
    }
}
