-- Locks the rows that are not locked yet, and returns the others with locked = false. $1 orders
select x.order_id, coalesce(r.state, '')::text as state, coalesce(r.request_hash, '')::bytea as request_hash,
       coalesce(r.expires_at, x.expires_at)::timestamptz as expires_at, (r.order_id is not null)::bool as locked
from reservation x
left join lateral (
    select y.order_id, y.state, y.request_hash, y.expires_at from reservation y where y.order_id = x.order_id for update skip locked
) r on true
where x.order_id = any ((select $1::text[])::text[])
