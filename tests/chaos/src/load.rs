//! Callers that ask for walkers in every way there is, and write down what they were told.
//!
//! What must become of each, the ledger is told here; whether it did, the verdict says.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use walker_harness::Client;

use crate::fleet::Fleet;
use crate::ledger::{Fate, Ledger};

/// Between two requests of one caller: hosts are to be killed at work, not under a backlog.
const PAUSE: Duration = Duration::from_millis(8);
/// How often a keyed request is sent until there is an answer: a host comes back within some of these.
const TIMES: usize = 50;
/// Between two of them.
const AGAIN: Duration = Duration::from_millis(100);
/// Walkers of a batch.
pub(crate) const BATCH: usize = 5;

/// A kind of request.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Saves once and reports: over in milliseconds.
    Short,
    /// Reports, saves, and then takes so many milliseconds.
    Waits(u64),
    /// Saves after every hundred of its items.
    SavesOften(u64),
    /// Fails in its first two attempts, each after a save.
    FailsFirst,
    /// Runs no earlier than in so many milliseconds.
    Later(u64),
    /// Some at once, all or none; by this number they are known.
    Batch(u64),
    /// With a key of this number: sent again, to any host, until there is an answer.
    Keyed(u64),
    /// Takes so many milliseconds, and is cancelled once it is accepted.
    Cancelled(u64),
}

impl Kind {
    fn any(dice: &mut StdRng) -> Self {
        match dice.random_range(0..100) {
            0..40 => Self::Short,
            40..55 => Self::Waits(dice.random_range(10..300)),
            55..62 => Self::SavesOften(dice.random_range(1..6) * 100),
            62..70 => Self::FailsFirst,
            70..78 => Self::Later(dice.random_range(100..3_000)),
            78..82 => Self::Batch(dice.random()),
            82..92 => Self::Keyed(dice.random()),
            _ => Self::Cancelled(dice.random_range(10..2_000)),
        }
    }

    /// The walker, what follows its name, and its fields.
    fn invocation(self) -> (&'static str, String, Value) {
        let plain = |walker, fields| (walker, String::new(), fields);
        match self {
            Self::Short | Self::Keyed(_) => plain("sample", json!({})),
            Self::Waits(ms) | Self::Cancelled(ms) => plain("waits_for_save", json!({"ms": ms})),
            Self::SavesOften(size) => plain("process_large_dataset", json!({"size": size})),
            Self::FailsFirst => plain("fails_first", json!({"times": 2})),
            Self::Later(ms) => ("sample", format!("?delay={ms}ms"), json!({})),
            Self::Batch(_) => ("sample", "/batch".into(), json!({"walkers": vec![json!({}); BATCH]})),
        }
    }

    /// By what its walkers are known, whether or not they were acknowledged.
    fn custom(self) -> Option<Value> {
        match self {
            Self::Batch(number) => Some(json!({"batch": number.to_string()})),
            Self::Keyed(number) => Some(json!({"key": number.to_string()})),
            _ => None,
        }
    }
}

/// Asks a host, by lot, and writes down what became of it.
pub async fn post(fleet: &Fleet, lot: usize, kind: Kind, ledger: &Ledger) {
    match kind {
        Kind::Keyed(_) => post_until_answered(fleet, lot, kind, ledger).await,
        Kind::Cancelled(_) => {
            if let Some(answer) = invoke(fleet, lot, kind, ledger).await {
                let id = acknowledge(&answer["walker_id"], ledger);
                cancel(fleet, lot + 1, &id, ledger).await;
            }
        }
        _ => {
            let Some(answer) = invoke(fleet, lot, kind, ledger).await else { return };
            match answer["walker_ids"].as_array() {
                Some(ids) => ids.iter().for_each(|id| drop(acknowledge(id, ledger))),
                None => drop(acknowledge(&answer["walker_id"], ledger)),
            }
        }
    }
}

/// Until it is known; then once more, which must be answered the same.
async fn post_until_answered(fleet: &Fleet, lot: usize, kind: Kind, ledger: &Ledger) {
    for lot in lot..lot + TIMES {
        let Some(answer) = invoke(fleet, lot, kind, ledger).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        acknowledge(&answer["walker_id"], ledger);
        if let Some(again) = invoke(fleet, lot + 1, kind, ledger).await
            && again != answer
        {
            ledger.wonder(format!("one key stood for {answer} and then for {again}"));
        }
        return;
    }
}

async fn cancel(fleet: &Fleet, lot: usize, id: &str, ledger: &Ledger) {
    // Before it is sent: it may come to pass although nobody is told so.
    ledger.expect(id, Fate::MayBeCancelled);
    let request = |client: &Client| client.request(Method::POST, &format!("/walkers/{id}/cancel"));
    match ask(fleet, lot, request, ledger).await {
        Ok(_) => ledger.expect(id, Fate::Cancelled),
        Err(NoAnswer::Unavailable) => ledger.lose_cancel(),
        Err(_) => {}
    }
}

async fn invoke(fleet: &Fleet, lot: usize, kind: Kind, ledger: &Ledger) -> Option<Value> {
    let (walker, more, fields) = kind.invocation();
    let request = |client: &Client| {
        let mut request = client.request(Method::POST, &format!("/walker/{walker}{more}")).json(&fields);
        if let Some(custom) = kind.custom() {
            request = request.header("Walker-Custom", custom.to_string());
        }
        if let Kind::Keyed(number) = kind {
            request = request.header("Idempotency-Key", number.to_string());
        }
        request
    };
    ask(fleet, lot, request, ledger).await.ok()
}

/// Why there is no answer.
enum NoAnswer {
    /// The host said that it did not do it, or may not have: the database was away.
    Unavailable,
    /// It came too late.
    TooLate,
    /// The connection ended, or no host runs.
    Unknown,
}

/// Sends a request to some host that runs.
async fn ask(
    fleet: &Fleet,
    lot: usize,
    request: impl Fn(&Client) -> reqwest::RequestBuilder,
    ledger: &Ledger,
) -> Result<Value, NoAnswer> {
    let client = fleet.any_client(lot).ok_or(NoAnswer::Unknown)?;
    match client.try_send(request(&client)).await {
        Ok(answer) if answer.status.is_success() => return Ok(answer.json()),
        // Said clearly, and with a time to come back.
        Ok(answer) if [429, 503].contains(&answer.status.as_u16()) && answer.headers.contains_key("retry-after") => {
            ledger.refuse();
            return Err(NoAnswer::Unavailable);
        }
        Ok(answer) if answer.status == 409 && answer.json()["code"] == "walker.has_ended" => {
            return Err(NoAnswer::TooLate);
        }
        Ok(answer) => ledger.wonder(format!("{} {}", answer.status, answer.text)),
        Err(_) => ledger.lose_answer(),
    }
    Err(NoAnswer::Unknown)
}

fn acknowledge(id: &Value, ledger: &Ledger) -> String {
    let id = id.as_str().unwrap();
    ledger.acknowledge(id);
    id.to_owned()
}

/// One caller, until `stop` says so; goes to any host that listens.
pub(crate) async fn call(fleet: Arc<Fleet>, ledger: Arc<Ledger>, seed: u64, stop: watch::Receiver<bool>) {
    let mut dice = StdRng::seed_from_u64(seed);
    while !*stop.borrow() {
        let kind = Kind::any(&mut dice);
        post(&fleet, dice.random_range(0..1_000_000), kind, &ledger).await;
        tokio::time::sleep(PAUSE).await;
    }
}
