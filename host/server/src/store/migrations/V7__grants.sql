-- Who lets whom read: one walker, or all of a root's.

create table grants (
    id          uuid primary key,
    tenant_id   int8 not null,
    owner_root  uuid not null,
    reader_root uuid not null,
    -- Both null: all of the owner's walkers, also those to come.
    walker      text,
    walker_id   uuid,
    created_at  timestamptz not null default now(),
    constraint grants_to_others check (owner_root <> reader_root)
);
-- One of a kind; and what reading somebody else's walker asks for.
create unique index grants_key
    on grants (owner_root, reader_root, coalesce(walker_id, '00000000-0000-0000-0000-000000000000'::uuid));
create index grants_reader on grants (reader_root, id);
create index grants_tenant on grants (tenant_id);
create index grants_walker on grants (walker_id) where walker_id is not null;

-- Whom a root belongs to.
create index users_root on users (root_id);
