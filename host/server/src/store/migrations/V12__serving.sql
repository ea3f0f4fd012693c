-- Whether a host answers tenants' requests: those that do share what a tenant may ask of all. Of a host of the version
-- before nobody knows; it counts as one that does.
alter table hosts add column serves boolean not null default true;
