-- One row a reservation, in the order of their orders' IDs; $1: those of these orders alone, or null for all.
select r.order_id, r.state,
       coalesce((
           select string_agg(l.variant_id || ' ' || l.quantity::text, ',' order by l.variant_id collate "C")
           from reservation_line l where l.order_id = r.order_id
       ), '')
from reservation r
where $1::text[] is null or r.order_id = any ($1)
order by r.order_id collate "C"
