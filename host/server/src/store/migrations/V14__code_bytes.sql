-- How large a module's code is, for those too who may not read it: whoever speaks for a tenant. The code lies outside its
-- rows, and its length is known without reading it.
create function code_bytes(digest bytea) returns int8 language sql stable security definer set search_path from current as $$
    select octet_length(code) from module_code where sha256 = digest
$$;
