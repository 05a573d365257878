-- One row per order that uses vouchers, sorted by order ID. $1: the IDs of the orders to read; null reads all.
select r.order_id,
       coalesce((
           select string_agg(v.voucher_id || ' ' || v.amount::text, ',' order by v.voucher_id collate "C")
           from redemption_voucher v where v.order_id = r.order_id
       ), '')
from redemption r
where r.state = 'redeemed' and ($1::text[] is null or r.order_id = any ($1))
order by r.order_id collate "C"
