-- relative changes of stock by sellers: the latest hundred of each variant
create table stock_adjustment (
    id          text collate "C" primary key,
    variant_id  text collate "C" not null references variant (id),
    delta       bigint      not null check (delta <> 0),
    reason      text        not null,
    on_hand     bigint      not null,
    adjusted_by text collate "C" not null,
    -- hash of the caller's idempotency key; null: it sent none
    request_key bytea,
    created_at  timestamptz not null
);
create index stock_adjustment_of_variant on stock_adjustment (variant_id, id desc);
create unique index stock_adjustment_request on stock_adjustment (variant_id, request_key);
