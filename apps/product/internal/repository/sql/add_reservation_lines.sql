-- $1 orders, $2 variants, $3 quantities
insert into reservation_line (order_id, variant_id, quantity)
select n.order_id, n.variant_id, n.quantity
from unnest((select $1::text[]), (select $2::text[]), (select $3::bigint[])) as n (order_id, variant_id, quantity)
