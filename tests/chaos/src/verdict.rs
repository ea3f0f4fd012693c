//! Whether everything ended as it must have.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Fleet;
use crate::ledger::{Fate, Ledger};
use crate::load::BATCH;

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
    /// Those that were cancelled.
    pub(crate) cancelled: i64,
    /// Those of which some attempt failed and was followed by another, as their author asks.
    pub(crate) retried: i64,
    /// Those that waited before they first ran, and were not put off.
    pub(crate) waited: i64,
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
    let ids: Vec<Uuid> = acknowledged.keys().copied().collect();
    let count = async |sql: &str| -> i64 { admin.query_one(sql, &[]).await.unwrap().get(0) };
    let lost: Vec<Uuid> = admin
        .query(
            "select a.id from unnest($1::uuid[]) a(id)
             where not exists (select 1 from walkers w where w.id = a.id) or not exists (select 1 from results r where r.id = a.id)",
            &[&ids],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let once = "select count(*) from (select from walkers where custom->>'key' is not null group by custom->>'key' having count(*) > 1) k";
    assert_eq!(count(once).await, 0, "keys that stand for several walkers");
    let whole = format!(
        "select count(*) from (
            select from walkers where custom->>'batch' is not null group by custom->>'batch' having count(*) <> {BATCH}) b"
    );
    assert_eq!(count(&whole).await, 0, "batches of which a part was stored");
    let early = "select count(*) from walkers w join results r using (id) where r.executed_date < w.execute_date";
    assert_eq!(count(early).await, 0, "walkers that ran before their time");
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
    let (mut run_again, mut given_up, mut cancelled) = (0, 0, 0);
    for row in &rows {
        let (walker, status, attempt): (String, i16, i16) = (row.get(0), row.get(1), row.get(2));
        let parse = |text: Option<String>| text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let (fields, reports): (Value, Value) = (parse(row.get(3)), parse(row.get(4)));
        run_again += i64::from(attempt > 1);
        let failure: Option<String> = row.get(5);
        let id: Uuid = row.get(6);
        let at = || format!("{walker} {id}, attempt {attempt}: {status} {failure:?} {fields} {reports}");
        let fate = acknowledged.get(&id).copied().unwrap_or(Fate::Completes);
        if status == 4 {
            assert_ne!(fate, Fate::Completes, "nobody cancelled it: {}", at());
            cancelled += 1;
            continue;
        }
        assert_ne!(fate, Fate::Cancelled, "a caller was told that it is being cancelled: {}", at());
        if failure.as_deref() == Some("host.lost") {
            assert!(attempt >= 3, "given up too early: {}", at());
            given_up += 1;
            continue;
        }
        assert_eq!(status, 2, "completed is all that may become of it: {}", at());
        assert!(is_as_told(&walker, attempt, &fields, &reports), "{}", at());
    }
    let retried = count("select count(distinct id) from attempts where code = 'guest.error'").await;
    // What starts at once is stored as claimed, with one time for both.
    let waited = count(
        "select count(*) from walkers w join results r using (id)
         where r.attempt = 1 and r.executed_date > w.execute_date and w.execute_date <= w.created_at",
    )
    .await;
    Verdict { walkers: rows.len() as i64, run_again, given_up, cancelled, retried, waited }
}

/// Whether fields and reports are those of one life, taken up again from what was saved.
fn is_as_told(walker: &str, attempt: i16, fields: &Value, reports: &Value) -> bool {
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
        "fails_first" => {
            // Each attempt that got so far saved its number, and the last one said something after that.
            let (last, saved) = reports.as_array().unwrap().split_last().unwrap();
            let numbers: Vec<u64> = saved.iter().map(|number| number.as_u64().unwrap()).collect();
            last == "not saved"
                && fields["attempts"] == numbers.len()
                && numbers.is_sorted_by(|one, next| one < next)
                && numbers.last().copied() == u64::try_from(attempt).ok()
                && attempt > 2
        }
        other => panic!("nobody posted {other}"),
    }
}
