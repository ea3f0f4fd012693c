//! Lists walkers, a page at a time.
//!
//! Decides nothing about who may see what; the actor says whose.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use walker_model::Status;

use super::grants::with_granted;
use super::read::{columns, fields, reports, tables, view};
use super::scoped::{IN_ORDER, OWN_PLAN};
use super::{Error, Parameter, Store, WalkerView};
use crate::access::Actor;

/// Which walkers to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only those of this name.
    pub name: Option<String>,
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those accepted at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// At most so many.
    pub limit: u16,
    /// Only those older than this one: the last id of the page before.
    pub before: Option<Uuid>,
}

/// The walkers that stand on a page, newest first.
pub(super) const LISTED: &str = concat!(
    "with w as (
         select w.* from unnest($1::uuid[]) u (id) cross join lateral (
             select * from walkers w where w.id = u.id and w.tenant_id = $2 and w.id between $3 and $4 offset 0) w) ",
    view!("$3", "$4"),
    " order by w.id desc"
);

/// Where the walkers of a page are found.
struct Source {
    /// Gives rows `w` with `id`, `tenant_id` and `root_id`.
    from: String,
    /// What else holds for them.
    status: String,
    /// The row that has a walker's name and when it was accepted.
    walker: &'static str,
    /// How they are gone through.
    settings: &'static str,
}

impl Source {
    /// The status stands in the statement's value `$value`, unless it has none.
    ///
    /// Whatever the statistics say: what there is most of is gone through in the order of the page, and looked up by its key
    /// beside that; what went wrong, which has an index of its own, is never looked for among all others.
    fn of(status: Option<Status>, value: usize) -> Self {
        let walkers = |join: &str, status: &str| Self {
            from: format!("walkers w {join}"),
            status: status.to_owned(),
            walker: "w",
            settings: IN_ORDER,
        };
        // What has not ended stands in the queue, which is small: it may be looked at first, and sorted.
        let queue = |owner: &str| Self {
            settings: OWN_PLAN,
            ..walkers("join queue q on q.id = w.id", &format!("and q.owner is {owner}"))
        };
        match status {
            None => walkers("", ""),
            Some(Status::Pending) => queue("null"),
            Some(Status::Running) => queue("not null"),
            Some(Status::Completed) => {
                let ended = "select from results r where r.id = w.id and r.status = ";
                walkers(&format!("cross join lateral ({ended} ${value} offset 0) r"), "")
            }
            Some(Status::Failed | Status::Cancelled) => Self {
                from: "results w cross join lateral (
                           select x.walker, x.created_at from walkers x where x.id = w.id offset 0) x"
                    .to_owned(),
                status: format!("and w.status <> 2 and w.status = ${value}"),
                walker: "x",
                settings: IN_ORDER,
            },
        }
    }

    /// A page, as far as `whose` holds for its rows.
    fn page(&self, whose: &str) -> String {
        let Self { from, status, walker, .. } = self;
        // The id's own time only narrows the search: it is a host's, and hosts' clocks differ from the database's.
        format!(
            "select w.id from {from}
             where w.tenant_id = $1 and {whose} {status}
               and ($2::text is null or {walker}.walker = $2)
               and ($3::timestamptz is null
                    or ({walker}.created_at >= $3 and w.id >= id_floor($3 - interval '1 hour')))
               and ($4::uuid is null or w.id < $4)
             order by w.id desc limit $5"
        )
    }
}

impl Store {
    /// Lists walkers, newest first.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn walkers(&self, actor: &Actor, filter: &ListFilter) -> Result<Vec<WalkerView>, Error> {
        let root = actor.readable_root();
        let limit = i64::from(filter.limit);
        let mut values: Vec<Parameter<'_>> = vec![&actor.tenant.0, &filter.name, &filter.since, &filter.before, &limit];
        let scoped = self.scoped(actor.tenant).await?;
        let mut moment = scoped.moment();
        let mut is_granted = false;
        if let Some(root) = &root {
            values.push(root);
            let sql = "select 1 from grants where reader_root = $1 limit 1";
            is_granted = !moment.query("", sql, &[root]).await?.is_empty();
        }
        let source = Source::of(filter.status, values.len() + 1);
        let status = filter.status.map(Status::code);
        if filter.status.is_some_and(Status::is_final) {
            values.push(&status);
        }
        let page = |whose: &str| source.page(whose);
        let page = match root {
            None => page("true"),
            Some(_) if is_granted => with_granted(page),
            Some(_) => page("w.root_id = $6"),
        };
        // What a view is made of is looked up for those days alone that the page is of: planned together with the page, it
        // would be so for all days (12 to 38 instead of 3 ms with 87 days).
        let found = moment.query(source.settings, &page, &values).await?;
        let ids: Vec<Uuid> = found.iter().map(|row| row.get(0)).collect();
        let (least, greatest) = (ids.iter().min(), ids.iter().max());
        let rows = moment.finish(LISTED, &[&ids, &actor.tenant.0, &least, &greatest]).await?;
        scoped.put_back(&rows);
        rows.iter().map(WalkerView::of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres;

    /// Of tables that nobody has analysed yet, as each day's are in its first minutes.
    #[tokio::test]
    async fn pages_are_gone_through_in_their_order() {
        let store = test_postgres::store().await;
        let mut session = store.session("a test").await.unwrap();
        session.batch_execute("set role walker_tenant").await.unwrap();
        for (status, index) in [
            (None, "_tenant_id_id_idx"),
            (Some(Status::Completed), "_tenant_id_id_idx"),
            (Some(Status::Failed), "_tenant_id_"),
            (Some(Status::Cancelled), "_tenant_id_"),
        ] {
            let source = Source::of(status, 6);
            let transaction = session.transaction().await.unwrap();
            transaction.batch_execute(&format!("set local walker.tenant = '1'; {}", source.settings)).await.unwrap();
            transaction.batch_execute(&format!("prepare page as {}", source.page("true"))).await.unwrap();
            let value = if status.is_some_and(Status::is_final) { ", 3" } else { "" };
            let explain = format!("explain (costs off) execute page(1, null, null, null, 20{value})");
            let plan: Vec<String> =
                transaction.query(&explain, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
            let finds = |text: &str| plan.iter().any(|line| line.contains(text));
            assert!(finds(index) && !finds("Sort") && !finds("Bitmap") && !finds("Seq Scan"), "{status:?}: {plan:#?}");
            transaction.batch_execute("deallocate page").await.unwrap();
        }
    }
}
