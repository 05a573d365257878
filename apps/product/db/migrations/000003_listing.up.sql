-- The read model: one row per product, with the columns that lists, filters and searches need, and the
-- encoded product that callers get. It can be rebuilt from the other tables at any time.
create table listing (
    product_id   text collate "C" primary key,
    shop_id      text collate "C" not null,
    -- the product is active and has variants, and its shop is not suspended
    visible      boolean          not null,
    category_ids text[]           not null,
    currency     text             not null,
    -- of the cheapest variant, in 1/10,000 of the currency's unit, so that one column sorts all currencies
    price        bigint           not null,
    rating_avg   double precision not null default 0,
    rating_count int              not null default 0,
    in_stock     boolean          not null,
    created_at   timestamptz      not null,
    title        text             not null,
    terms        tsvector         not null,
    -- souk.product.v1.Product
    doc          bytea            not null
);
-- Ranking reads the terms of every candidate, so they stay in the row. The document is stored outside it.
alter table listing alter column terms set storage main;
alter table listing alter column doc set storage external;

create index listing_terms on listing using gin (terms) where visible;
create index listing_title on listing using gin (title gin_trgm_ops) where visible;
create index listing_category on listing using gin (category_ids) where visible;
create index listing_newest on listing (created_at, product_id) where visible;
create index listing_price on listing (price, product_id) where visible;
create index listing_rating on listing (rating_avg, rating_count, product_id) where visible;
create index listing_shop on listing (shop_id, created_at, product_id) where visible;
create index listing_of_shop on listing (shop_id, product_id);
