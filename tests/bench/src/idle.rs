//! The host with nothing to do: how fast it is there, and how much memory it takes.
//!
//! Leaves a host behind for those who give it work.

use std::time::Duration;

use anyhow::Context;

use crate::Plan;
use crate::connection::Connection;
use crate::host::{Folder, Host};
use crate::process;
use crate::report::{Goal, Table, time, verdict};
use crate::stats::median;

/// Starts the host until it has everything in place, then times its starts.
pub(crate) async fn measure(plan: Plan) -> anyhow::Result<(Folder, Host)> {
    let folder = Folder::new()?;
    let host = Host::start(&folder).await?;
    let first = host.started_in;
    host.publish().await?;
    // Runs once, so that its compiled code is in place.
    let request = host.invocation("sample?wait=30s");
    Connection::open(&host.address).await?.ask(&request).await?.expect(200)?;
    host.stop().await?;

    // Beside each, its start on a Postgres that runs already: the difference is Postgres's part.
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    let beside = folder.beside()?;
    for _ in 0..plan.starts {
        let host = Host::start(&folder).await?;
        whole.push(host.started_in);
        let url = folder.url()?;
        let second = Host::start_with(&beside, |command| {
            command.env("DATABASE_URL", &url);
        });
        let second = second.await?;
        alone.push(second.started_in);
        second.stop().await?;
        host.stop().await?;
    }
    let host = Host::start(&folder).await?;
    whole.push(host.started_in);
    let seconds = |times: &[Duration]| median(times.iter().map(Duration::as_secs_f64));
    let (whole, alone) = (seconds(&whole), seconds(&alone));
    let idle_mb = process::resident_mb(host.pid()?)?;
    let mut table = Table::new("A host with nothing to do", &["", "of which Postgres"]);
    table.row("first start, with a cluster to make", &[time(first.as_secs_f64())]);
    table.row("start until it listens, all in place", &[time(whole), time(whole - alone)]);
    table.row("memory, without Postgres", &[format!("{idle_mb:.0} MB")]);
    table.print();
    verdict("start", whole, " s", Goal::AtMost(1.5));
    verdict("idle memory", idle_mb, " MB", Goal::AtMost(80.0));
    Ok((folder, host))
}

/// What the host keeps once the load is over.
pub(crate) fn after_load(host: &Host) -> anyhow::Result<()> {
    let megabytes = process::resident_mb(host.pid()?).context("the host has ended")?;
    println!("\nMemory of the host after the load, without Postgres: {megabytes:.0} MB");
    Ok(())
}
