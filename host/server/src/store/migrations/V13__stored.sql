-- What tenants have stored, by day (UTC) of the walkers it belongs to: appended by the statements that store and forget it,
-- added up like usage. In tables of its own: a host of the version before, which adds up usage, would lose a column.

create table stored_deltas (
    tenant_id int8 not null,
    day       date not null,
    bytes     int8 not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create table stored_days (
    tenant_id int8 not null,
    day       date not null,
    bytes     int8 not null,
    constraint stored_days_pkey primary key (tenant_id, day)
) with (fillfactor = 80);

-- The day whose partitions hold a walker.
create function id_day(id uuid) returns date language sql immutable as $$
    select (to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::int8 / 1000.0) at time zone 'utc')::date
$$;

-- What is stored already, as far as it was counted: without inputs. It is right once these days are over.
insert into stored_days (tenant_id, day, bytes)
select tenant_id, day, sum(bytes)
from (select tenant_id, day, bytes from usage_days union all select tenant_id, day, bytes from usage_deltas) u
where to_regclass('walkers_' || to_char(day, 'YYYYMMDD')) is not null
group by tenant_id, day;

alter table stored_deltas enable row level security;
create policy of_tenant on stored_deltas using (tenant_id + 0 = (select acting_tenant()));
alter table stored_days enable row level security;
create policy of_tenant on stored_days using (tenant_id + 0 = (select acting_tenant()));
