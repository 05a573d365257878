create table stock (
    variant_id text collate "C" primary key references variant (id),
    on_hand    bigint not null,
    reserved   bigint not null,
    constraint stock_never_oversold check (reserved >= 0 and reserved <= on_hand)
) with (fillfactor = 50);

create table reservation (
    order_id     text collate "C" primary key,
    state        text        not null check (state in ('held', 'released', 'expired', 'committed', 'restocked', 'tombstone')),
    request_hash bytea       not null,
    expires_at   timestamptz not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null
);
create index reservation_expiry on reservation (expires_at) where state = 'held';

create table reservation_line (
    order_id   text collate "C" not null references reservation (order_id),
    variant_id text collate "C" not null,
    quantity   bigint not null check (quantity > 0),
    primary key (order_id, variant_id)
);
