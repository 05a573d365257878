-- One row a payment, in the order of their orders' IDs; $1: those of these orders alone, or null for all.
select p.order_id, p.id, p.status, p.method, p.currency, p.amount, p.captured, p.refunded
from payment p
where $1::text[] is null or p.order_id = any ($1)
order by p.order_id collate "C"
