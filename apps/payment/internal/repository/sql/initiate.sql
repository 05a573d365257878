-- name: Initiate
-- Inserts the payments of orders that have none.
insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, created_at, updated_at, asked_at)
select i.id, i.order_id, i.customer_id, i.status, i.method, i.currency, i.amount, i.provider, i.request_hash, i.at, i.at,
    case when i.provider <> '' then i.at end
from unnest((select $1::text[]), (select $2::text[]), (select $3::text[]), (select $4::text[]), (select $5::text[]), (select $6::text[]),
        (select $7::bigint[]), (select $8::text[]), (select $9::bytea[]), (select $10::timestamptz[]))
    as i (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, at)
on conflict (order_id) do nothing
returning payment.id, payment.version
