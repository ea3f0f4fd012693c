//! Writes sync walkers when they end: input and result together, with no queue row in between.

use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use super::complete::{ResultColumns, ResultRow};
use super::intake::{Columns, NewWalker};
use super::stored::Sums;
use super::usage::count;
use super::{Error, Session};

pub(crate) const RECORD: &str = concat!(
    "with u as materialized (
    select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::int8[], $5::int4[], $6::text[], $7::uuid[], $8::uuid[], $9::json[],
                         $10::json[], $11::int2[], $12::int2[], $13::timestamptz[], $14::json[], $15::json[], $16::json[],
                         $17::text[], $18::json[], $19::json[], $20::json[], $21::int4[], $22::int4[], $23::int8[], $24::int8[])
        u(id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, custom, fields,
          status, http_status, executed_date, end_fields, reports, end_custom, error, failure, usage, logs, depth, saved_reports,
          used_fuel, used_bytes)),
w as (
    insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, execute_date, custom, fields, depth)
    select id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, executed_date, custom, fields, depth from u),
n as (",
    count!("u", "count(*)", "sum(used_fuel)", "sum(used_bytes)"),
    "),
s as (
    insert into stored_deltas (tenant_id, day, bytes) select * from unnest($25::int8[], $26::date[], $27::int8[]))
insert into results (id, tenant_id, root_id, status, attempt, http_status, executed_date, fields, reports, custom, error, failure, usage, logs, saved_reports)
select id, tenant_id, root_id, status, 1, http_status, executed_date, end_fields, reports, end_custom, error, failure, usage, logs, saved_reports from u"
);

/// Writes all or none.
pub(crate) async fn record(
    session: &mut Session,
    statement: &Statement,
    rows: &[(&NewWalker, &ResultRow)],
    again: bool,
) -> Result<(), Error> {
    let asked = Columns::of(rows.iter().map(|(walker, _)| *walker));
    let ended = ResultColumns::of(rows.iter().map(|(_, result)| *result));
    let stored = |(walker, result): &(&NewWalker, &ResultRow)| walker.stored() + result.stored();
    let sums = Sums::of(rows.iter().map(|row| (0, row.0.tenant, row.0.id, stored(row))));
    let written = session
        .execute(
            statement,
            &[
                &asked.ids,
                &asked.tenants,
                &asked.walkers,
                &asked.modules,
                &asked.versions,
                &asked.kinds,
                &asked.nodes,
                &asked.roots,
                &asked.customs,
                &asked.fields,
                &ended.statuses,
                &ended.https,
                &ended.dates,
                &ended.fields,
                &ended.reports,
                &ended.customs,
                &ended.errors,
                &ended.failures,
                &ended.usages,
                &ended.logs,
                &asked.depths,
                &ended.saved_reports,
                &ended.used_fuel,
                &ended.used_bytes,
                &sums.tenants,
                &sums.days,
                &sums.bytes,
            ],
        )
        .await;
    match written {
        Ok(_) => Ok(()),
        // The ids are this host's own and new: they are there because the lost answer was a yes.
        Err(error) if again && error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
