-- Deletes old redemptions that were released, and returns their number.
with old as (
    select r.order_id from redemption r where r.state = 'released' and r.updated_at >= $1 and r.updated_at < $2
    order by r.updated_at limit $3 for update skip locked
), vouchers as (
    delete from redemption_voucher v using old where v.order_id = old.order_id
)
delete from redemption r using old where r.order_id = old.order_id
