-- Whose rows are whose is said twice: by each statement, and here. What speaks for a tenant does so as the role
-- walker_tenant, which these policies bind; they do not bind the owner of the tables, as which hosts run the queue.

-- On whose behalf this transaction speaks. Null, which equals nobody, where it was not said.
create function acting_tenant() returns int8 language sql stable parallel safe as $$
    select nullif(current_setting('walker.tenant', true), '')::int8
$$;

-- Read with every walker: whose they are stands in them, too.
alter table checkpoints add column tenant_id int8;
update checkpoints k set tenant_id = w.tenant_id from walkers w where w.id = k.id;

-- For hosts of the version before, which do not say it.
create function whose_checkpoint() returns trigger language plpgsql as $$ begin
    new.tenant_id := (select w.tenant_id from walkers w where w.id = new.id);
    return new;
end $$;
create trigger whose before insert on checkpoints for each row when (new.tenant_id is null) execute function whose_checkpoint();

do $$
declare
    relation name;
begin
    for relation in
        select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
        where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = current_schema()::regnamespace
        order by 1
    loop
        execute format('alter table %I enable row level security', relation);
        -- Asked once for each statement, not for each row. The sum is no more than its first part, and never a reason to
        -- look rows up by tenant: a walker is looked up by its id, however few walkers Postgres thinks the tenant has.
        execute format('create policy of_tenant on %I using (tenant_id + 0 = (select acting_tenant()))', relation);
    end loop;
end $$;

alter table tenants enable row level security;
create policy of_tenant on tenants using (id = (select acting_tenant()));

-- Where no column says whose a row is, that is seen through what it belongs to: a look-up for each row that a statement
-- asks for by its key. (`exists` would do, but may be planned as a hash of everything there is.)
alter table module_versions enable row level security;
create policy of_tenant on module_versions
    using ((select m.tenant_id from modules m where m.id = module_id) = (select acting_tenant()));
alter table logs enable row level security;
create policy of_tenant on logs
    using ((select w.tenant_id from walkers w where w.id = logs.id) = (select acting_tenant()));
