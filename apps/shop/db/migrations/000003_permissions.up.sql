-- What members of the staff may do, as their owners chose; '{}': all that staff may do. Owners have '{}', and may do everything.
alter table member add column permissions text[] not null default '{}';
-- What the person gets.
alter table invitation add column permissions text[] not null default '{}';
