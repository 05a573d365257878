-- $1 orders, $2 variants, $3 quantities
insert into reservation_line (order_id, variant_id, quantity)
select n.order_id, n.variant_id, n.quantity
from unnest($1::text[], $2::text[], $3::bigint[]) as n (order_id, variant_id, quantity)
