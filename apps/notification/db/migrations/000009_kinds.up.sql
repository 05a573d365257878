-- The code lists the kinds (domain.Kinds).
alter table notice drop constraint notice_kind_check;
