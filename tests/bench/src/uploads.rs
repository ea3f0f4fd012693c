//! What uploads cost everybody else: how long HTTP answers take while two tenants have large and hostile modules checked without
//! pause, beside the same pace without uploads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::Plan;
use crate::connection::{Connection, request};
use crate::host::{Folder, Host};
use crate::neighbours::tenant;
use crate::report::{Goal, Table, time, verdict};
use crate::stats::Samples;
use crate::steady::ask;

/// Requests of each kind a second: the machine has nothing else to do but the uploads.
const RATE: f64 = 100.0;
/// Each has one module checked at a time; there are children for two.
const UPLOADERS: [&str; 2] = ["one", "two"];
/// The longest that an answer may take: what a hostile module may cost others.
const AT_MOST_MS: f64 = 50.0;

/// Measures without uploads, and with those of two tenants.
pub(crate) async fn measure(plan: Plan) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let host = Host::start(&folder).await?;
    host.publish().await?;
    let accept = host.invocation("echo_later");
    Connection::open(&host.address).await?.ask(&accept).await?.expect(200)?;
    let mut table = Table::new(
        &format!("HTTP beside uploads: {RATE} requests of each kind a second"),
        &["GET /healthz p50", "p99", "POST p50", "p99", "modules checked"],
    );
    let lasts = plan.load * 3;
    let paced = async || -> anyhow::Result<[Samples; 2]> {
        let health = ask(&host, request("GET", "/healthz", &host.token, b""), RATE, lasts);
        let (health, accepted) = tokio::try_join!(health, ask(&host, accept.clone(), RATE, lasts))?;
        Ok([health, accepted])
    };
    let cells = |sides: &[Samples; 2]| sides.each_ref().map(|side| [0.5, 0.99].map(|part| time(side.percentile(part))));

    let alone = paced().await?;
    table.row("no uploads", &[cells(&alone).concat(), vec!["0".to_owned()]].concat());
    let checked = Arc::new(AtomicUsize::new(0));
    // Made before anything is measured: whoever measures must not wait for whoever uploads.
    let slow: Arc<[u8]> = slow()?.into();
    let mut uploading = JoinSet::new();
    for name in UPLOADERS {
        let token = tenant(&host, name).await?;
        uploading.spawn(upload(host.address.clone(), token, slow.clone(), checked.clone()));
    }
    let beside = tokio::select! {
        beside = paced() => beside?,
        ended = uploading.join_next() => return ended.context("nobody uploads")??,
    };
    uploading.shutdown().await;
    let checked = checked.load(Relaxed);
    table.row("without pause", &[cells(&beside).concat(), vec![checked.to_string()]].concat());
    table.print();
    ensure!(checked > 0, "no module was checked in {lasts:?}");
    for (what, side) in [("GET /healthz", &beside[0]), ("POST of another tenant's walker", &beside[1])] {
        verdict(&format!("{what}, p99"), side.percentile(0.99) * 1e3, " ms", Goal::AtMost(AT_MOST_MS));
    }
    host.stop().await
}

/// Uploads modules one after another; returns only when something is wrong.
async fn upload(address: String, token: String, slow: Arc<[u8]>, checked: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let zeros = vec![0; 32 << 20];
    for round in 0_u64.. {
        // Never the same twice, or it would not be checked again.
        let large = move || [walker_harness::module("faults"), padding(16 << 20, &round.to_le_bytes())].concat();
        let large = tokio::task::spawn_blocking(large).await?;
        for (code, status) in [(&*large, 201), (&*slow, 422), (&*zeros, 422)] {
            // The answer may come before all was read.
            let mut connection = Connection::open(&address).await?;
            let put = request("PUT", "/modules/large", &token, code);
            let answer = tokio::time::timeout(Duration::from_secs(180), connection.ask(&put)).await;
            // The first is new, those after it are new versions.
            let answer = answer.context("an upload got no answer")??;
            ensure!(answer.status == status, "an upload was answered {}: {}", answer.status, answer.body);
            checked.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// Valid code that takes seconds of every processor to compile.
fn slow() -> anyhow::Result<Vec<u8>> {
    let body = "(local.set 0 (i32.load (local.get 0)))".repeat(300);
    let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(2_000);
    Ok(wat::parse_str(format!("(component (core module (memory 1) {functions}))"))?)
}

/// A custom section of so many bytes, which begin with a `mark`.
fn padding(bytes: usize, mark: &[u8]) -> Vec<u8> {
    let mut section = vec![0];
    let mut length = bytes + 2;
    while length >= 0x80 {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend([1, b'p']);
    section.extend(mark);
    section.resize(section.len() + bytes - mark.len(), 7);
    section
}
