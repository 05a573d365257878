-- The invited address is encrypted by the service. Column email holds its digest then, by which the invitation is found.
alter table invitation add column sealed bytea;
create index invitation_plain on invitation (id) where email <> '' and sealed is null;
