-- Who: tenants, their users, and every token. A root is a uuid of its own; keys and public callers of a tenant have one each.

create table tenants (
    id             int8 generated always as identity primary key,
    name           text not null constraint tenants_name_key unique,
    root_id        uuid not null,
    public_root_id uuid not null,
    created_at     timestamptz not null default now()
);

create table users (
    id            uuid primary key,
    tenant_id     int8 not null references tenants,
    email         text not null,
    password_hash text not null,
    root_id       uuid not null,
    created_at    timestamptz not null default now(),
    constraint users_email_key unique (tenant_id, email)
);

-- Only hashes of tokens are stored. kind: 'operator', 'key' or 'session'.
create table tokens (
    hash       bytea primary key,
    id         uuid not null constraint tokens_id_key unique,
    kind       text not null constraint tokens_kind_known check (kind in ('operator', 'key', 'session')),
    tenant_id  int8 references tenants,
    user_id    uuid references users on delete cascade,
    name       text,
    scopes     text[] not null default '{}',
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    constraint tokens_kind_complete check (
        case kind
            when 'operator' then tenant_id is null and user_id is null
            when 'key' then tenant_id is not null and user_id is null
            else tenant_id is not null and user_id is not null
        end)
);
create index tokens_tenant on tokens (tenant_id, kind);

-- What runs: modules, their versions, and the code by digest, so that equal uploads are stored once.

create table modules (
    id             int8 generated always as identity primary key,
    tenant_id      int8 not null references tenants,
    name           text not null,
    active_version int4,
    created_at     timestamptz not null default now(),
    deleted_at     timestamptz,
    constraint modules_name_key unique (tenant_id, name)
);

create table module_code (
    sha256 bytea primary key,
    code   bytea not null
);
-- Modules compress badly and are read whole.
alter table module_code alter column code set storage external;

create table module_versions (
    module_id   int8 not null references modules,
    version     int4 not null,
    sha256      bytea not null references module_code,
    definitions json not null,
    created_at  timestamptz not null default now(),
    primary key (module_id, version)
);

-- Which module of a tenant holds a walker name: what its active version defines.
create table walker_names (
    tenant_id int8 not null references tenants,
    name      text not null,
    module_id int8 not null references modules on delete cascade,
    constraint walker_names_key primary key (tenant_id, name)
);
create index walker_names_module on walker_names (module_id);

-- The queue. `walkers` (what was asked) and `results` (what came of it) are append-only, partitioned by day of the
-- UUIDv7; `queue` is narrow and holds only what has not ended. Payloads are json, not jsonb: 1.5 times the throughput,
-- and the text comes back as it was, \u0000 included.

create table hosts (
    id        int4 generated always as identity primary key,
    heartbeat timestamptz not null default now()
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

create table walkers (
    id             uuid primary key,
    tenant_id      int8 not null,
    walker         text not null,
    module_id      int8 not null,
    module_version int4 not null,
    node_kind      text not null,
    node_id        uuid not null,
    root_id        uuid not null,
    execute_date   timestamptz not null,
    created_at     timestamptz not null default now(),
    custom         json,
    fields         json not null
) partition by range (id);
create index walkers_root on walkers (root_id, id);
create index walkers_tenant on walkers (tenant_id, id);

create table results (
    id            uuid primary key,
    tenant_id     int8 not null,
    root_id       uuid not null,
    status        int2 not null,
    attempt       int2 not null,
    http_status   int2 not null,
    executed_date timestamptz,
    finished_at   timestamptz not null default now(),
    fields        json,
    reports       json not null,
    custom        json,
    error         text,
    failure       json,
    usage         json,
    logs          json
) partition by range (id);
create index results_bad on results (root_id, id) where status <> 2;

create table queue (
    id           uuid primary key,
    tenant_id    int8 not null,
    execute_date timestamptz not null,
    owner        int4,
    attempt      int2 not null default 0,
    claimed_at   timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
create index queue_due on queue (execute_date) where owner is null;
create index queue_fair on queue (tenant_id, execute_date) where owner is null;

-- What a running walker last saved; a lost run starts again from here.
create table checkpoints (
    id       uuid primary key,
    attempt  int2 not null,
    fields   json not null,
    reports  json not null,
    saved_at timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Output that did not fit the result's row, and that of walkers which still run. lines: [{seq, at, stream, text}].
create table logs (
    id      uuid not null,
    attempt int2 not null,
    seq     int4 not null,
    lines   json not null,
    primary key (id, attempt, seq)
) partition by range (id);

-- The smallest UUIDv7-ordered id of a moment: 48 bits of milliseconds, then zeros.
create function id_floor(moment timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex(floor(extract(epoch from moment) * 1000)::int8), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the partitions that hold the ids of one day. Idempotent; two hosts may ask at once.
create function add_day(day date) returns void language plpgsql as $$
declare
    part  text;
    since uuid := id_floor(day::timestamp at time zone 'utc');
    until uuid := id_floor((day + 1)::timestamp at time zone 'utc');
begin
    foreach part in array array['walkers', 'results', 'logs'] loop
        execute format('create table if not exists %I partition of %I for values from (%L) to (%L)',
                       part || to_char(day, '_YYYYMMDD'), part, since, until);
    end loop;
end $$;
