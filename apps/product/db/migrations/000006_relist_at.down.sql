drop index shop_ref_relist;
create index shop_ref_relist on shop_ref (updated_at, shop_id) where relist_after is not null;
alter table shop_ref drop column relist_at;
