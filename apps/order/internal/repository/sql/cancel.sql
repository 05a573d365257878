-- Cancels orders. Orders are locked in the order of their IDs, as payment updates lock them, so that batches cannot deadlock.
with c as (
    select * from unnest((select $1::text[]), (select $2::text[]), (select $3::timestamptz[]), (select $4::text[])) as c (id, cancel_id, at, payment_status)
), held as (
    select o.id from orders o join c on c.id = o.id order by o.id for update of o
), cancelled as (
    update orders o set status = 'cancelled', payment_status = c.payment_status, version = o.version + 1, updated_at = c.at
    from c join held on held.id = c.id
    where o.id = c.id and o.cancel_id = c.cancel_id and o.status = 'confirmed'
    returning o.id
), parts as (
    update shop_order s set status = 'cancelled' from held where s.order_id = held.id and s.status = 'confirmed'
)
select souk_saga_require((select count(*) from cancelled) = cardinality($1::text[]), 'conflict', 'the order is not being cancelled')
