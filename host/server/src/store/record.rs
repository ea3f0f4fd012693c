//! Writes sync walkers when they end: input and result together, with no queue row in between.

use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use super::complete::{ResultColumns, ResultRow};
use super::intake::{Columns, NewWalker, add_walkers, new_walkers};
use super::stored::Sums;
use super::usage::count;
use super::{Error, Parameter, Session};

pub(crate) const RECORD: &str = concat!(
    "with u as materialized (",
    new_walkers!(
        ", $16::int2[], $17::int2[], $18::timestamptz[], $19::json[], $20::json[], $21::json[],
           $22::text[], $23::json[], $24::json[], $25::json[], $26::int4[], $27::int8[], $28::int8[]",
        ", status, http_status, executed_date, end_fields, reports, end_custom,
           error, failure, usage, logs, saved_reports, used_fuel, used_bytes"
    ),
    "), ",
    add_walkers!("u", "executed_date"),
    ", n as (",
    count!("u", "count(*)", "sum(used_fuel)", "sum(used_bytes)"),
    "), s as (insert into stored_deltas (tenant_id, day, bytes) select * from unnest($29::int8[], $30::date[], $31::int8[]))
     insert into results (id, tenant_id, root_id, status, attempt, http_status, executed_date,
                          fields, reports, custom, error, failure, usage, logs, saved_reports)
     select id, tenant_id, root_id, status, 1, http_status, executed_date,
            end_fields, reports, end_custom, error, failure, usage, logs, saved_reports from u"
);

/// Writes all or none.
pub(crate) async fn record(
    session: &mut Session,
    statement: &Statement,
    rows: &[(&NewWalker, &ResultRow)],
    again: bool,
) -> Result<(), Error> {
    let asked = Columns::of(rows.iter().map(|(walker, _)| (*walker, None)));
    let ended = ResultColumns::of(rows.iter().map(|(_, result)| *result));
    let stored = |(walker, result): &(&NewWalker, &ResultRow)| walker.stored() + result.stored();
    let sums = Sums::of(rows.iter().map(|row| (0, row.0.tenant, row.0.id, stored(row))));
    let counted: [Parameter<'_>; 3] = [&sums.tenants, &sums.days, &sums.bytes];
    let values = [&asked.values()[..], &ended.values(), &counted].concat();
    match session.execute(statement, &values).await {
        Ok(_) => Ok(()),
        // The ids are this host's own and new: they are there because the lost answer was a yes.
        Err(error) if again && error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
