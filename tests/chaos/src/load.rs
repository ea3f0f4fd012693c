//! Callers that post walkers of several kinds and write down what they were told.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use walker_harness::Client;

use crate::Ledger;
use crate::fleet::Fleet;

/// Between two posts of one caller: hosts are to be killed at work, not under a backlog.
const PAUSE: Duration = Duration::from_millis(8);

/// A kind of walker.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Saves once and reports: over in milliseconds.
    Short,
    /// Reports, saves, and then takes so many milliseconds.
    Waits(u64),
    /// Saves after every hundred of its items.
    SavesOften(u64),
}

impl Kind {
    fn any(dice: &mut StdRng) -> Self {
        match dice.random_range(0..10) {
            0..6 => Self::Short,
            6..9 => Self::Waits(dice.random_range(10..500)),
            _ => Self::SavesOften(dice.random_range(1..6) * 100),
        }
    }

    fn invocation(self) -> (&'static str, Value) {
        match self {
            Self::Short => ("sample", json!({})),
            Self::Waits(ms) => ("waits_for_save", json!({"ms": ms})),
            Self::SavesOften(size) => ("process_large_dataset", json!({"size": size})),
        }
    }
}

/// Posts one walker and writes down what became of it.
pub async fn post(client: &Client, kind: Kind, ledger: &Ledger) {
    let (walker, fields) = kind.invocation();
    let request = client.request(reqwest::Method::POST, &format!("/walker/{walker}")).json(&fields);
    match client.try_send(request).await {
        Ok(answer) if answer.status == 200 => ledger.acknowledge(answer.json()["walker_id"].as_str().unwrap()),
        // Said clearly, and with a time to come back.
        Ok(answer) if [429, 503].contains(&answer.status.as_u16()) && answer.headers.contains_key("retry-after") => {
            ledger.refuse();
        }
        Ok(answer) => ledger.wonder(format!("{} {}", answer.status, answer.text)),
        Err(_) => ledger.lose_answer(),
    }
}

/// One caller, until `stop` says so; goes to any host that listens.
pub(crate) async fn call(fleet: Arc<Fleet>, ledger: Arc<Ledger>, seed: u64, stop: watch::Receiver<bool>) {
    let mut dice = StdRng::seed_from_u64(seed);
    while !*stop.borrow() {
        let kind = Kind::any(&mut dice);
        if let Some(client) = fleet.any_client(dice.random_range(0..usize::MAX)) {
            post(&client, kind, &ledger).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
