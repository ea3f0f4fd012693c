-- Tenants' life: put on hold, and taken away for good.

-- Since when nothing new of it starts. Null: it may.
alter table tenants add column suspended_at timestamptz;
-- Since when all of it is being deleted, which nothing takes back. The name stays taken until the row is gone.
alter table tenants add column deleting_since timestamptz;
create index tenants_deleting on tenants (deleting_since) where deleting_since is not null;
