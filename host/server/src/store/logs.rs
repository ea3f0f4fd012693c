//! What walkers printed: chunks while they run or when there is much, else inside the result.

use serde::{Deserialize, Serialize};
use tokio_postgres::Statement;
use tokio_postgres::types::Json as Sql;
use walker_model::{Json, WalkerId};
use walker_sandbox::LogLine;

use super::grants::MAY_READ_LOGS;
use super::lease::Leases;
use super::read::optional;
use super::stored::keep;
use super::usage::count;
use super::{Error, Lease, Parameter, Session, Store};
use crate::access::Actor;

/// One line of a walker's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place among all lines of the attempt, from 1.
    pub seq: i32,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// A page of output.
#[derive(Debug, Clone)]
pub struct Logs {
    /// The lines, each with its attempt, in order.
    pub lines: Vec<(u16, LogEntry)>,
    /// Whether the walker has ended, so that no further lines will come.
    pub ended: bool,
}

/// Lines to store before the run has ended.
#[derive(Debug)]
pub(crate) struct LogChunk {
    pub(crate) lease: Lease,
    /// The first line's.
    pub(crate) seq: i32,
    pub(crate) lines: Json,
}

pub(crate) const LOG: &str = concat!(
    "with l as (
    insert into logs (id, attempt, seq, lines)
    select u.id, u.attempt, u.seq, u.lines
    from unnest($1::uuid[], $2::int4[], $3::int2[], $4::int4[], $5::json[]) u(id, owner, attempt, seq, lines)
    join queue q on q.id = any(array[u.id]) and abs(q.owner) = u.owner and q.attempt = u.attempt
    on conflict do nothing
    returning id, octet_length(lines::text) bytes),
t as (select q.tenant_id, l.id, l.bytes from l join queue q on q.id = any(array[l.id])),
s as (",
    keep!("t", "bytes"),
    ")
",
    count!("t", "0", "0", "sum(bytes)")
);

/// Stores all chunks whose lease still holds.
pub(crate) async fn store(session: &mut Session, statement: &Statement, rows: &[&LogChunk]) -> Result<(), Error> {
    let leases: Leases = rows.iter().map(|row| row.lease).collect();
    let seqs: Vec<i32> = rows.iter().map(|row| row.seq).collect();
    let lines: Vec<Sql<&Json>> = rows.iter().map(|row| Sql(&row.lines)).collect();
    session.execute(statement, &[&leases.ids, &leases.owners, &leases.attempts, &seqs, &lines]).await?;
    Ok(())
}

impl Store {
    /// Reads what a walker printed after line `after`; `None` when there is no such walker that the actor may see.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn logs(&self, actor: &Actor, id: &WalkerId, after: i32, limit: usize) -> Result<Option<Logs>, Error> {
        // One snapshot for chunks and result, so that a run ending in between loses no line.
        let sql = format!(
                "select r.attempt, r.logs, r.id is not null ended,
                        (select json_agg(json_build_object('attempt', l.attempt, 'lines', l.lines) order by l.attempt, l.seq)
                         from (select l.attempt, l.seq, l.lines from logs l where l.id = $1
                               union all
                               select a.attempt, null, a.logs from attempts a where a.id = $1 and a.logs is not null) l) chunks
                 from walkers w left join results r on r.id = $1
                 where w.id = $1 and w.walker = $2 and w.tenant_id = $3 and {MAY_READ_LOGS}"
            );
        let values: [Parameter<'_>; 4] = [&id.uuid, &id.name, &actor.tenant.0, &actor.readable_root()];
        let Some(row) = self.scoped(actor.tenant).await?.query_opt(&sql, &values).await? else { return Ok(None) };
        #[derive(Deserialize)]
        struct Chunk {
            attempt: u16,
            lines: Vec<LogEntry>,
        }
        let mut chunks: Vec<Chunk> = optional(&row, "chunks")?.unwrap_or_default();
        if let Some(lines) = optional(&row, "logs")? {
            let attempt: i16 = row.try_get("attempt")?;
            chunks.push(Chunk { attempt: attempt as u16, lines });
        }
        // Line numbers start anew with each attempt: only the last one is read on from a place.
        let last = chunks.iter().map(|chunk| chunk.attempt).max().unwrap_or(0);
        let lines = chunks
            .into_iter()
            .flat_map(|Chunk { attempt, lines }| lines.into_iter().map(move |line| (attempt, line)))
            .filter(|(attempt, line)| if *attempt == last { line.seq > after } else { after == 0 })
            .take(limit)
            .collect();
        Ok(Some(Logs { lines, ended: row.try_get("ended")? }))
    }
}
