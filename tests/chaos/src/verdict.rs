//! Whether everything ended as it must have.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Fleet, Ledger};

/// A lost host's lease, the longest walker and a busy machine.
const DRAIN: Duration = Duration::from_secs(60);

/// What was found; everything else was as it must be.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Walkers in all, those whose acknowledgement was lost included.
    pub(crate) walkers: i64,
    /// Those that ran more than once.
    pub(crate) run_again: i64,
    /// Those that were given up, since too many hosts died under them.
    pub(crate) given_up: i64,
}

/// Waits until nothing is queued; then holds every walker to the rules.
pub async fn settled(fleet: &Fleet, ledger: &Ledger) -> (i64, i64, i64) {
    let verdict = judge(fleet, ledger).await;
    (verdict.walkers, verdict.run_again, verdict.given_up)
}

pub(crate) async fn judge(fleet: &Fleet, ledger: &Ledger) -> Verdict {
    let odd = ledger.odd();
    assert!(odd.is_empty(), "odd answers: {odd:#?}\nhosts' errors: {:#?}", fleet.errors());
    let admin = fleet.database().await.unwrap();
    let began = Instant::now();
    loop {
        let left: i64 = admin.query_one("select count(*) from queue", &[]).await.unwrap().get(0);
        if left == 0 {
            break;
        }
        if began.elapsed() > DRAIN {
            let rows = admin.query("select q::text from queue q limit 20", &[]).await.unwrap();
            let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            panic!("{left} walkers never end; live hosts are {:?}:\n{}", fleet.live_ids(), rows.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let acknowledged = ledger.acknowledged();
    let count = async |sql: &str| -> i64 { admin.query_one(sql, &[]).await.unwrap().get(0) };
    let lost: Vec<Uuid> = admin
        .query(
            "select a.id from unnest($1::uuid[]) a(id)
             where not exists (select 1 from walkers w where w.id = a.id) or not exists (select 1 from results r where r.id = a.id)",
            &[&acknowledged],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let mut distinct = acknowledged.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), acknowledged.len(), "an id was given twice");
    // The primary keys allow no second row; both sides must be there.
    let odd = "select count(*) from walkers w full join results r using (id) where w.id is null or r.id is null";
    assert_eq!(count(odd).await, 0, "input without result, or result without input");
    let checkpoints = count("select count(*) from checkpoints").await;
    assert_eq!(checkpoints, 0, "checkpoints of walkers that have ended");

    let rows = admin
        .query(
            "select w.walker, r.status, r.attempt, r.fields::text, r.reports::text, r.failure->>'code', w.id
             from walkers w join results r using (id)",
            &[],
        )
        .await
        .unwrap();
    let (mut run_again, mut given_up) = (0, 0);
    for row in &rows {
        let (walker, status, attempt): (String, i16, i16) = (row.get(0), row.get(1), row.get(2));
        let parse = |text: Option<String>| text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let (fields, reports): (Value, Value) = (parse(row.get(3)), parse(row.get(4)));
        run_again += i64::from(attempt > 1);
        let failure: Option<String> = row.get(5);
        let id: Uuid = row.get(6);
        let at = || format!("{walker} {id}, attempt {attempt}: {status} {failure:?} {fields} {reports}");
        if failure.as_deref() == Some("host.lost") {
            assert!(attempt >= 3, "given up too early: {}", at());
            given_up += 1;
            continue;
        }
        assert_eq!(status, 2, "completed is all that may become of it: {}", at());
        assert!(is_as_told(&walker, &fields, &reports), "{}", at());
    }
    Verdict { walkers: rows.len() as i64, run_again, given_up }
}

/// Whether fields and reports are those of one life, taken up again from what was saved.
fn is_as_told(walker: &str, fields: &Value, reports: &Value) -> bool {
    match walker {
        "sample" => *fields == json!({"value": 1}) && *reports == json!([{"done": true}]),
        "waits_for_save" => {
            // What was reported before a save is kept with it; what a lost attempt reported without saving is not.
            let reports = reports.as_array().unwrap();
            let begins = reports.iter().map(|report| report["began_at"].as_u64().unwrap());
            let attempts: Vec<u64> = reports.iter().map(|report| report["attempt"].as_u64().unwrap()).collect();
            fields["step"] == 2
                && begins.clone().eq((0..reports.len()).map(|at| u64::from(at > 0)))
                && attempts.is_sorted()
        }
        "process_large_dataset" => {
            let size = fields["size"].as_u64().unwrap();
            let total =
                (0..size).fold(0_u64, |sum, place| sum.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54));
            let report = &reports[0];
            reports.as_array().unwrap().len() == 1
                && (report["processed"].as_u64(), report["total"].as_u64()) == (Some(size), Some(total))
                && report["resumed_from"].as_u64().is_some_and(|from| from % 100 == 0)
        }
        other => panic!("nobody posted {other}"),
    }
}
