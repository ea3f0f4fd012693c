-- What became of keys, and what users may do within their tenant.

-- When it was last seen, within half a minute.
alter table tokens add column last_used timestamptz;

-- Keys that were taken back: apart, so that no host ever takes one for good.
create table revoked_keys (
    id         uuid primary key,
    tenant_id  int8 not null,
    name       text,
    scopes     text[] not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    last_used  timestamptz,
    revoked_at timestamptz not null default now()
);
create index revoked_keys_tenant on revoked_keys (tenant_id, id);

alter table users add column role text not null default 'none'
    constraint users_role_known check (role in ('none', 'admin'));
