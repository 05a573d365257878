with cancelled as (
    update orders set status = 'cancelled', payment_status = $4, version = version + 1, updated_at = $3
    where id = $1 and cancel_id = $2 and status = 'confirmed'
    returning id
), parts as (
    update shop_order set status = 'cancelled' where order_id = $1 and status = 'confirmed'
)
select souk_saga_require(exists (select from cancelled), 'conflict', 'the order is not being cancelled')
