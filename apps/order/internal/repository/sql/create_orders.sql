insert into orders (id, number, customer_id, idem_key, request_hash, status, currency,
    subtotal, discount, shipping, tax, total, payment_method, private, cart_owner_id, cart_version,
    placed_at, updated_at, expires_at)
select id, number, customer_id, idem_key, request_hash, 'pending', currency,
    subtotal, discount, shipping, tax, total, payment_method, private, customer_id, cart_version,
    placed_at, placed_at,
    -- Go's zero time: the order does not expire
    nullif(expires_at, '0001-01-01 00:00:00Z')
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bytea[], $14::bigint[],
        $15::timestamptz[], $16::timestamptz[])
    as o (id, number, customer_id, idem_key, request_hash, currency,
        subtotal, discount, shipping, tax, total, payment_method, private, cart_version, placed_at, expires_at)
