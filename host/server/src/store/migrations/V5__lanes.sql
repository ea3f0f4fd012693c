-- What waits is kept apart by tenant, walker and priority: hosts choose in memory from which lanes they take how many.

create table lanes (
    id        int4 generated always as identity primary key,
    tenant_id int8 not null,
    walker    text not null,
    priority  int2 not null,
    constraint lanes_key unique (tenant_id, walker, priority)
);

-- Hosts of the version before know no lanes: what they queue has lane 0, which is a lane like any other.
alter table queue add column lane int4 not null default 0;
-- Whether it counts towards a limit of concurrency while it runs; set when it is claimed.
alter table queue add column limited bool not null default false;

create index queue_lane on queue (lane, execute_date) where owner is null;
-- Only what is limited is in it: it costs everything else nothing, and no other statement can be planned through it.
create index queue_limited on queue (tenant_id, lane) where owner is not null and limited;
