//! Writes groups of accepted walkers, each all or none, and each once for its idempotency key.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tokio_postgres::Statement;
use uuid::Uuid;

use super::intake::{Columns, NewWalker, is_known_walker, new_walkers, queue_walkers};
use super::keys::Key;
use super::stored::Sums;
use super::{Error, HostId, Parameter, Session};

/// What became of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grouped {
    /// It was stored, at this time of the database.
    Stored(DateTime<Utc>),
    /// The same was stored before under its key: these walkers.
    Before(Vec<Uuid>),
    /// Its key was used for something else.
    OtherBody,
    /// Its key was used before, and forgotten at this very moment: it may be sent again.
    Forgotten,
}

/// A group to store.
#[derive(Debug)]
pub(crate) struct GroupOf<'a> {
    pub(crate) key: Option<&'a Key>,
    pub(crate) walkers: &'a [NewWalker],
    /// Who holds all of them from the start.
    pub(crate) owner: Option<HostId>,
}

/// Only groups whose key is new, and those without one, get into `walkers` and `queue`. Answers the first walkers of those
/// whose key is new: two groups with one key may stand in the same statement.
pub(crate) const GROUPS: &str = concat!(
    "with u as materialized (",
    new_walkers!(", $16::int4[]", ", n"),
    "),
     g as materialized (
        select * from unnest($17::int4[], $18::int8[], $19::bytea[], $20::bytea[], $21::uuid[]) g(n, tenant_id, key_hash, body_hash, first)),
     k as (
        insert into idempotency_keys (tenant_id, key_hash, body_hash, walker_ids)
        select g.tenant_id, g.key_hash, g.body_hash, i.ids
        from g join (select n, array_agg(id) ids from u group by n) i on i.n = g.n
        where g.key_hash is not null
        order by g.tenant_id, g.key_hash
        on conflict do nothing
        returning walker_ids[1] first),
     x as materialized (
        select u.* from g join u on u.n = g.n
        where g.key_hash is null or g.first in (select first from k)), ",
    queue_walkers!("x"),
    ", s as (
        insert into stored_deltas (tenant_id, day, bytes)
        select tenant_id, day, sum(bytes) from unnest($22::int4[], $23::int8[], $24::date[], $25::int8[]) s(n, tenant_id, day, bytes)
        where n in (select n from x) group by tenant_id, day)
     select now(), array(select first from k)"
);

/// Stores every group whose key is new or that has none; says of each what became of it.
pub(crate) async fn insert(
    session: &mut Session,
    statement: &Statement,
    groups: &[GroupOf<'_>],
    again: bool,
) -> Result<Vec<Grouped>, Error> {
    // In the order of their keys, or two hosts could each wait for a key of the other's.
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|at| groups[*at].key.map(|key| (key.tenant.0, key.key_hash)));
    let in_order = || order.iter().map(|at| &groups[*at]);
    let first = |group: &GroupOf<'_>| group.walkers.first().map(|walker| walker.id);

    let numbers: Vec<i32> = (0..).take(groups.len()).collect();
    let tenants: Vec<Option<i64>> = in_order().map(|group| group.key.map(|key| key.tenant.0)).collect();
    let keys: Vec<Option<&[u8]>> = in_order().map(|group| group.key.map(|key| key.key_hash.as_slice())).collect();
    let bodies: Vec<Option<&[u8]>> = in_order().map(|group| group.key.map(|key| key.body_hash.as_slice())).collect();
    let firsts: Vec<Option<Uuid>> = in_order().map(first).collect();
    let rows = || {
        let numbered = (0_i32..).zip(in_order());
        numbered.flat_map(|(number, group)| group.walkers.iter().map(move |walker| (number, walker, group.owner)))
    };
    let of: Vec<i32> = rows().map(|(number, ..)| number).collect();
    let columns = Columns::of(rows().map(|(_, walker, owner)| (walker, owner)));
    let sums = Sums::of(rows().map(|(number, walker, _)| (number, walker.tenant, walker.id, walker.stored())));
    let values: [Parameter<'_>; 10] =
        [&of, &numbers, &tenants, &keys, &bodies, &firsts, &sums.groups, &sums.tenants, &sums.days, &sums.bytes];
    let inserted = session.query_one(statement, &[&columns.values()[..], &values].concat()).await;
    let (now, won): (DateTime<Utc>, HashSet<Uuid>) = match inserted {
        Ok(row) => (row.get(0), row.get::<_, Vec<Uuid>>(1).into_iter().collect()),
        // Groups without a key stand there because the lost answer was a yes; what became of the others, their keys say.
        Err(error) if again && is_known_walker(&error) => {
            (session.query_one("select now()", &[]).await?.get(0), HashSet::new())
        }
        Err(error) => return Err(error.into()),
    };
    let lost: Vec<&Key> = groups
        .iter()
        .filter(|group| first(group).is_none_or(|first| !won.contains(&first)))
        .filter_map(|group| group.key)
        .collect();
    let known = look_up(session, &lost).await?;
    Ok(groups
        .iter()
        .map(|group| match (group.key, first(group)) {
            (None, _) => Grouped::Stored(now),
            (_, Some(first)) if won.contains(&first) => Grouped::Stored(now),
            (Some(key), first) => match known.get(&(key.tenant.0, key.key_hash.to_vec())) {
                // This very group, sent before its answer was lost.
                Some((_, ids)) if ids.first().copied() == first => Grouped::Stored(now),
                Some((body, ids)) if *body == key.body_hash => Grouped::Before(ids.clone()),
                Some(_) => Grouped::OtherBody,
                None => Grouped::Forgotten,
            },
        })
        .collect())
}

type Known = HashMap<(i64, Vec<u8>), (Vec<u8>, Vec<Uuid>)>;

/// What keys were used for.
async fn look_up(session: &Session, keys: &[&Key]) -> Result<Known, Error> {
    if keys.is_empty() {
        return Ok(Known::new());
    }
    let tenants: Vec<i64> = keys.iter().map(|key| key.tenant.0).collect();
    let hashes: Vec<&[u8]> = keys.iter().map(|key| key.key_hash.as_slice()).collect();
    let rows = session
        .query(
            "select k.tenant_id, k.key_hash, k.body_hash, k.walker_ids
             from unnest($1::int8[], $2::bytea[]) u(tenant_id, key_hash) join idempotency_keys k using (tenant_id, key_hash)",
            &[&tenants, &hashes],
        )
        .await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect())
}
