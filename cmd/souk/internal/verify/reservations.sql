-- One row per reservation, sorted by order ID, without the lines that went back on hand. $1: the IDs of the orders to read; null reads all.
select r.order_id, r.state,
       coalesce((
           select string_agg(l.variant_id || ' ' || l.quantity::text, ',' order by l.variant_id collate "C")
           from reservation_line l where l.order_id = r.order_id and not l.restocked
       ), '')
from reservation r
where $1::text[] is null or r.order_id = any ($1)
order by r.order_id collate "C"
