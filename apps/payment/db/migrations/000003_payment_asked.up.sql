-- When somebody last asked about a payment whose end is open; null: its end is known. The reconciler's queue has a column
-- of its own so that updated_at says when a payment changed, and so that an authorization touches no index.
alter table payment add column asked_at timestamptz;
update payment set asked_at = updated_at where status in ('pending', 'authorized') and provider <> '';
-- For a process of the release before, which does not name the column. What it leaves set the reconciler puts right.
alter table payment alter column asked_at set default now();
create index payment_asked on payment (asked_at) where asked_at is not null;
drop index payment_open;
