//! How long a walker takes from its POST until its end is answered, at rates below what the host can do.

use crate::Plan;
use crate::connection::Connection;
use crate::host::Host;
use crate::report::{Goal, Table, count, time, verdict};
use crate::stats::Summary;
use crate::steady::ask;

/// Requests in a second that leave the machine all but idle.
const FEW: f64 = 100.0;

/// Measures at a low rate, and at half of `most` lives a second.
pub(crate) async fn measure(plan: Plan, host: &Host, most: f64) -> anyhow::Result<()> {
    let request = host.invocation("echo_later?wait=30s");
    Connection::open(&host.address).await?.ask(&request).await?.expect(200)?;
    let mut table =
        Table::new("POST ?wait= of `echo_later` at a steady rate, until its end is answered", &["p50", "p99"]);
    let mut summaries = Vec::new();
    for rate in [FEW, most / 2.0] {
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds {
            rounds.push(ask(host, request.clone(), rate, plan.turn).await?);
        }
        let summary = Summary::of(&rounds);
        table.row(&format!("{} a second", count(rate)), &[time(summary.p50), time(summary.p99)]);
        summaries.push(summary);
    }
    table.print();
    verdict("POST until ended at 100/s, p50", summaries[0].p50 * 1e3, " ms", Goal::AtMost(3.0));
    verdict("POST until ended at 100/s, p99", summaries[0].p99 * 1e3, " ms", Goal::AtMost(15.0));
    verdict("POST until ended at half of the most, p99", summaries[1].p99 * 1e3, " ms", Goal::AtMost(60.0));
    Ok(())
}
