-- What the reviews of products add up to, as the comment service said last. Listings show it.
create table rating (
    product_id text collate "C" primary key,
    average    double precision not null,
    count      int              not null,
    -- a higher one is newer
    version    bigint           not null
);
