alter table shop_ref
    -- version of the last event about the shop; 0: no event yet, the row comes from a call to the shop service
    add column version bigint not null default 0,
    -- listings of products with an ID after this one are out of date; null: none is
    add column relist_after text collate "C";
create index shop_ref_relist on shop_ref (updated_at, shop_id) where relist_after is not null;
