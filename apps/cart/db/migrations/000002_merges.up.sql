-- The guests whose carts were merged into this one, latest first, and the user whose cart this one was merged into:
-- "owner@version", where version is that of both carts right after the merge.
alter table cart add column merged text[] not null default '{}';
alter table cart add column merged_into text not null default '';
