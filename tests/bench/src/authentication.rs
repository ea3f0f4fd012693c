//! What it costs to know who calls: POSTs of one public walker by callers with a key, with a user's session and without a
//! token, as fast as they are answered.

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::Plan;
use crate::connection::{Connection, request};
use crate::database::Database;
use crate::host::Host;
use crate::lifecycle::{CALLERS, DRAIN, LOOK, callers};
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::stats::{Samples, Summary, median};

/// Anybody may start it.
const WALKER: &str = "/walker/open_echo_later";
/// What takes a token may be slower by this part.
const GOAL: f64 = 0.95;

/// Measures all three in turns.
pub(crate) async fn measure(plan: Plan, host: &Host, database: &Database) -> anyhow::Result<()> {
    let client = database.connect().await?;
    let sides = [
        ("nobody's", anonymous(WALKER)),
        ("a key's", request("POST", WALKER, &host.token, b"{}")),
        ("a user's", request("POST", WALKER, &session(host).await?, b"{}")),
    ];
    // The first ones meet what is not yet in memory.
    post(host, &sides[0].1, plan).await?;
    settle(database, &client).await?;
    let mut rounds: [Vec<Samples>; 3] = Default::default();
    // Each of them comes first, second and third equally often: a part in twenty is little beside what one leaves to the next.
    for round in 0..plan.rounds * sides.len() {
        for at in (0..sides.len()).map(|at| (at + round) % sides.len()) {
            rounds[at].push(post(host, &sides[at].1, plan).await?);
            settle(database, &client).await?;
        }
    }
    // Each round's sides ran right after each other.
    let of_nobody =
        |side: &[Samples]| median(side.iter().zip(&rounds[0]).map(|(ours, theirs)| ours.rate() / theirs.rate()));
    let mut table =
        Table::new(&format!("POSTs of a public walker from {CALLERS} callers"), &["POSTs/s", "p50", "of nobody's"]);
    for ((name, _), side) in sides.iter().zip(&rounds) {
        let summary = Summary::of(side);
        table.row(name, &[count(summary.rate), time(summary.p50), ratio(of_nobody(side))]);
    }
    table.print();
    for ((name, _), side) in sides.iter().zip(&rounds).skip(1) {
        verdict(&format!("{name} POSTs of nobody's"), of_nobody(side), "", Goal::AtLeast(GOAL));
    }
    Ok(())
}

/// Posts as fast as it is answered, for a turn.
async fn post(host: &Host, request: &[u8], plan: Plan) -> anyhow::Result<Samples> {
    let (address, request) = (host.address.clone(), request.to_owned());
    let posts = tokio::task::spawn_blocking(move || callers(&address, &request, plan.turn));
    posts.await.map_err(|error| anyhow!("the callers died: {error}"))?
}

/// Waits until all have ended: the next side is to find what this one found.
async fn settle(database: &Database, client: &Client) -> anyhow::Result<()> {
    let posted = Instant::now();
    while database.is_busy(client).await? {
        ensure!(posted.elapsed() < DRAIN, "walkers have not ended {DRAIN:?} after the last was sent");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A POST without a token.
fn anonymous(path: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    .into()
}

/// The token of a user who logged in.
async fn session(host: &Host) -> anyhow::Result<String> {
    let mut connection = Connection::open(&host.address).await?;
    let credentials = br#"{"email":"bench@example.org","password":"correct horse battery staple"}"#;
    connection.ask(&request("POST", "/user/register", &host.token, credentials)).await?.expect(201)?;
    let answer =
        connection.ask(&request("POST", "/user/login", &host.token, credentials)).await?.expect(200)?.to_owned();
    Ok(serde_json::from_str::<Value>(&answer)?["token"].as_str().context("there is no token")?.to_owned())
}
