-- The backup of what is in Redis.
create table cart (
    owner_id   text primary key,
    -- Microseconds since 1970, or one more than before; grows with each change.
    version    bigint      not null,
    -- Of the offers that may be added; '' while the cart is empty.
    currency   text        not null,
    -- [{"variant": "var_…", "quantity": 2, "position": 7}]
    lines      jsonb       not null check (jsonb_typeof(lines) = 'array'),
    -- The orders that were taken out, latest first.
    orders     text[]      not null,
    updated_at timestamptz not null,
    expires_at timestamptz not null
);

create index cart_expires_at on cart (expires_at);
