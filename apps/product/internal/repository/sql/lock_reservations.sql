-- $1 orders
select order_id, state, request_hash, expires_at, true as locked from reservation
where order_id = any ((select $1::text[])::text[])
order by order_id
for update
