-- $1 orders
select order_id, variant_id, quantity, restocked from reservation_line
where order_id = any ((select $1::text[])::text[])
order by order_id, variant_id
