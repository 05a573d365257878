with c as (
    select * from unnest((select $1::text[]), (select $2::timestamptz[]), (select $3::text[]), (select $4::text[])) as c (id, at, payment_id, payment_status)
), confirmed as (
    update orders o set status = 'confirmed', confirmed_at = c.at, payment_id = c.payment_id, payment_status = c.payment_status, version = o.version + 1, updated_at = c.at
    from c where o.id = c.id and o.status = 'pending'
    returning o.id
), parts as (
    update shop_order s set status = 'confirmed', confirmed_at = c.at from c where s.order_id = c.id and s.status = 'pending'
)
select souk_saga_require((select count(*) from confirmed) = cardinality($1::text[]), 'conflict', 'the order is not pending')
