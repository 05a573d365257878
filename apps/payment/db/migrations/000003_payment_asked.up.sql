-- When the provider was last asked about a payment with an open outcome; null: the outcome is known. The
-- reconciler's queue has a column of its own, so that updated_at says when a payment changed, and an
-- authorization touches no index.
alter table payment add column asked_at timestamptz;
update payment set asked_at = updated_at where status in ('pending', 'authorized') and provider <> '';
-- For a process of the previous release, which does not name the column. The reconciler clears wrong
-- defaults.
alter table payment alter column asked_at set default now();
create index payment_asked on payment (asked_at) where asked_at is not null;
drop index payment_open;
