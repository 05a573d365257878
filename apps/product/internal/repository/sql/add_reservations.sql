-- $1 orders, $2 states, $3 hashes of the requests, $4 times of expiry, $5 now
insert into reservation (order_id, state, request_hash, expires_at, created_at, updated_at)
select n.order_id, n.state, n.request_hash, n.expires_at, $5::timestamptz, $5::timestamptz
from unnest((select $1::text[]), (select $2::text[]), (select $3::bytea[]), (select $4::timestamptz[])) as n (order_id, state, request_hash, expires_at)
