alter table shop_ref
    -- of the shop, as its last event told it; 0: no event came yet, the shop service was asked
    add column version bigint not null default 0,
    -- the listings of its products behind this ID show what the shop was before; null: none does
    add column relist_after text collate "C";
create index shop_ref_relist on shop_ref (updated_at, shop_id) where relist_after is not null;
