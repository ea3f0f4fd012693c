-- How large the input of what waits is, as JSON: hosts take only so much at once. Told by whoever writes it, since Postgres would
-- have to unpack a value to know. What a host of the version before queues or saves counts as nothing. (Not `bytes`: its
-- statements call other things that, and would be refused.)
alter table queue add column input_bytes int4 not null default 0;
alter table checkpoints add column input_bytes int4 not null default 0;
