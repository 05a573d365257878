-- The address of an encrypted invitation is lost to the former version: the shop invites again.
delete from invitation where sealed is not null;
drop index invitation_plain;
alter table invitation drop column sealed;
