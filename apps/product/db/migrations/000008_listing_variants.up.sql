-- What a search asks of one variant: [{"price": as listing.price, "stock": true if a piece is available,
-- "options": {name: value}}]. Null: a listing that was written before this column existed.
alter table listing add column variants jsonb;
-- Searches for the text of descriptions and for variants need all listings to be written again.
update shop_ref set relist_after = '';
