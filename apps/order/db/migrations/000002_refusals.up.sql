-- the invalid fields of a refused checkout, as shown to its customer: [{Path, Message}]
alter table orders add column cancel_fields jsonb not null default '[]';
