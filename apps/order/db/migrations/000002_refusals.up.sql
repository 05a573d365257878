-- what was wrong with which field of a checkout that was refused, as its customer was told: [{Path, Message}]
alter table orders add column cancel_fields jsonb not null default '[]';
