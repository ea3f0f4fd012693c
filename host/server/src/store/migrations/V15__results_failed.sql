-- What went wrong, a tenant's at a time, for lists. Days that are large already go without it: building it would hold up
-- what is written to them. They are looked through as before, until they are dropped; docs/operations.md has the statements.
create index results_failed on only results (tenant_id, id) where status <> 2;
do $$
declare
    day name;
begin
    for day in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'results'::regclass and pg_relation_size(c.oid) < 64 << 20
    loop
        execute format('create index %I on %I (tenant_id, id) where status <> 2', day || '_failed', day);
        execute format('alter index results_failed attach partition %I', day || '_failed');
    end loop;
end $$;
