-- What tenants used, by day (UTC): added up from what each statement that ends walkers appends. Never a row for each
-- tenant that all its commits would have to wait for.

create table usage_deltas (
    tenant_id int8 not null,
    day       date not null,
    walkers   int8 not null,
    fuel      int8 not null,
    bytes     int8 not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create table usage_days (
    tenant_id int8 not null,
    day       date not null,
    walkers   int8 not null,
    fuel      int8 not null,
    bytes     int8 not null,
    constraint usage_days_pkey primary key (tenant_id, day)
) with (fillfactor = 80);
