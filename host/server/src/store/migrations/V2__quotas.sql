-- What the operator set for one tenant, by name: {"fuel": 1000}. What is not in it is as for all.
alter table tenants add column quotas json not null default '{}';

-- How many generations of spawning lie before a walker.
alter table walkers add column depth int4 not null default 0;

-- How many walkers of each tenant a host runs, by the tenant's number, as of its last heartbeat: {"1": 64}.
alter table hosts add column running json not null default '{}';
