-- What checking and compiling a version took, beside the limits of the same names. Hosts of earlier versions do not say.
alter table module_versions add column cost json;
