-- Who changed what, from where, and when: appended with the change, and kept when its tenant goes.

create table audit (
    id         uuid primary key,
    tenant_id  int8 not null,
    -- As it was called: an operator may ask for one that is gone.
    tenant     text not null,
    at         timestamptz not null default now(),
    who        text not null constraint audit_who_known check (who in ('host', 'operator', 'key', 'user')),
    who_id     uuid,
    address    text,
    request_id text,
    action     text not null,
    subject    text not null,
    detail     json not null default '{}'
);
create index audit_tenant on audit (tenant_id, id);
create index audit_named on audit (tenant, id);
