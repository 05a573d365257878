-- The price of the most expensive variant, as listing.price is that of the cheapest: a search with a least price reads only
-- the products that have a variant at that price or above. Null: a listing that was written before this column existed.
alter table listing add column highest bigint;
create index listing_highest on listing (highest) where visible;
