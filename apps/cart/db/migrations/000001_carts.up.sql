-- The backup of the carts in Redis.
create table cart (
    owner_id   text primary key,
    -- Microseconds since 1970, at least one more than before the change.
    version    bigint      not null,
    -- The only currency in which offers may be added; '' while the cart is empty.
    currency   text        not null,
    -- [{"variant": "var_…", "quantity": 2, "position": 7}]
    lines      jsonb       not null check (jsonb_typeof(lines) = 'array'),
    -- The orders whose items were removed, latest first.
    orders     text[]      not null,
    updated_at timestamptz not null,
    expires_at timestamptz not null
);

create index cart_expires_at on cart (expires_at);
