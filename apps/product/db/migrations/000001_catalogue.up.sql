create extension if not exists pg_trgm;

create table category (
    id         text collate "C" primary key,
    parent_id  text collate "C" references category (id),
    name       text        not null,
    -- names and IDs from the root to this category
    path       text[]      not null,
    path_ids   text[]      not null,
    created_at timestamptz not null,
    constraint category_name unique nulls not distinct (parent_id, name)
);

-- a local copy of the shops, updated by the shop service's events
create table shop_ref (
    shop_id    text collate "C" primary key,
    handle     text collate "C" not null,
    name       text        not null,
    status     text        not null,
    updated_at timestamptz not null
);
create index shop_ref_handle on shop_ref (handle);

create table product (
    id          text collate "C" primary key,
    shop_id     text collate "C" not null references shop_ref (shop_id),
    handle      text collate "C" not null,
    title       text        not null,
    description text        not null,
    category_id text collate "C" references category (id),
    images      jsonb       not null,
    tags        text[]      not null,
    status      text        not null check (status in ('draft', 'active', 'archived')),
    version     bigint      not null,
    -- hash of the last import; null after an edit of the product
    import_hash bytea,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz
);
create unique index product_handle on product (shop_id, handle) where deleted_at is null;
create index product_of_shop on product (shop_id, id) where deleted_at is null;

create table variant (
    id               text collate "C" primary key,
    product_id       text collate "C" not null references product (id),
    shop_id          text collate "C" not null,
    sku              text collate "C" not null,
    options          jsonb  not null,
    price_minor      bigint not null check (price_minor > 0),
    currency         text   not null,
    compare_at_minor bigint check (compare_at_minor > 0),
    position         int    not null,
    deleted_at       timestamptz
);
create unique index variant_sku on variant (shop_id, sku) where deleted_at is null;
create index variant_of_product on variant (product_id, position) where deleted_at is null;
