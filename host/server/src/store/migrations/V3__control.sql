-- Control: what became of earlier attempts, cancelling, and idempotency keys.

-- How many of the reports the last checkpoint held: a retry starts from there. Null: nothing was saved.
alter table results add column saved_reports int4;

-- Where it waits when it is queued again.
alter table walkers add column priority int2 not null default 0;

-- Attempts after which another one followed. `was_result`: it was the walker's result until somebody retried it; the
-- failures before it count no more.
create table attempts (
    id         uuid not null,
    attempt    int2 not null,
    tenant_id  int8 not null,
    root_id    uuid not null,
    host       int4,
    started    timestamptz,
    ended      timestamptz not null default now(),
    code       text not null,
    error      text,
    failure    json,
    usage      json,
    logs       json,
    was_result boolean not null default false,
    primary key (id, attempt)
) partition by range (id);

-- A negative owner: that host is to stop the walker. Its run can then end in no other way, and other hosts see to it
-- should that one die. Almost always empty.
create index queue_stopping on queue (owner) where owner < 0;

-- What a key was first used for, for a day. `host` runs the walker of a synchronous invocation; null once it ended,
-- and for all others.
create table idempotency_keys (
    tenant_id  int8 not null,
    key_hash   bytea not null,
    body_hash  bytea not null,
    walker_ids uuid[] not null,
    host       int4,
    created_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (tenant_id, key_hash)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create index idempotency_keys_age on idempotency_keys (created_at);

-- As before, with the attempts of that day's walkers.
create or replace function add_day(day date) returns void language plpgsql as $$
declare
    part  text;
    since uuid := id_floor(day::timestamp at time zone 'utc');
    until uuid := id_floor((day + 1)::timestamp at time zone 'utc');
begin
    foreach part in array array['walkers', 'results', 'logs', 'attempts'] loop
        execute format('create table if not exists %I partition of %I for values from (%L) to (%L)',
                       part || to_char(day, '_YYYYMMDD'), part, since, until);
    end loop;
end $$;

-- Of the days that there are already.
select add_day(to_date(right(c.relname, 8), 'YYYYMMDD'))
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'walkers'::regclass;
