drop index if exists sandbox.charge_created;
