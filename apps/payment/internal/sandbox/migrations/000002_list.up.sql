-- Finds the charges since a time.
create index if not exists charge_created on sandbox.charge (created_at, key);
