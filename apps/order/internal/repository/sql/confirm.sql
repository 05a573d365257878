with confirmed as (
    update orders set status = 'confirmed', confirmed_at = $2, payment_id = $3, payment_status = $4, version = version + 1, updated_at = $2
    where id = $1 and status = 'pending'
    returning id
), parts as (
    update shop_order set status = 'confirmed', confirmed_at = $2 where order_id = $1 and status = 'pending'
)
select souk_saga_require(exists (select from confirmed), 'conflict', 'the order is not pending')
