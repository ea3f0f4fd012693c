-- Keeping its size: how long results are kept, and days that can be added without waiting for readers.

-- How many days after its end a walker can still be read. Null: as long as the hosts' settings say.
alter table tenants add column keep_days int2 constraint tenants_keep_days_range check (keep_days between 1 and 3650);

-- As before, but attached: `create table … partition of` locks out readers and writers of the whole table, and waits for a
-- dump that reads it, with everybody else waiting behind. Attaching an empty table locks nobody out.
create or replace function add_day(day date) returns void language plpgsql as $$
declare
    parent name;
    part   text;
    since uuid := id_floor(day::timestamp at time zone 'utc');
    until uuid := id_floor((day + 1)::timestamp at time zone 'utc');
begin
    -- Every partitioned table is partitioned by day.
    for parent in select relname from pg_class where relkind = 'p' and relnamespace = current_schema()::regnamespace order by 1 loop
        part := parent || to_char(day, '_YYYYMMDD');
        continue when to_regclass(part) is not null;
        execute format('create table %I (like %I including all)', part, parent);
        execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, part, since, until);
    end loop;
end $$;
