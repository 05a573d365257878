-- When the listings of a shop are refreshed: at once, or after a failure, later than those of all other shops.
alter table shop_ref add column relist_at timestamptz not null default '-infinity';
drop index shop_ref_relist;
create index shop_ref_relist on shop_ref (relist_at, updated_at, shop_id) where relist_after is not null;
