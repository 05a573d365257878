-- One row per payment, sorted by order ID. $1: the IDs of the orders to read; null reads all.
select p.order_id, p.id, p.status, p.method, p.currency, p.amount, p.captured, p.refunded, p.waived
from payment p
where $1::text[] is null or p.order_id = any ($1)
order by p.order_id collate "C"
