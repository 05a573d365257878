-- Claims carts for orders, all or none. A claim is free if nothing holds it, or an order whose items have left the cart.
with c as (
    select * from unnest($1::text[], $2::text[], $3::text[]) as c (owner_id, order_id, left_ids)
), claimed as (
    insert into cart_claim as k (owner_id, order_id)
    select owner_id, order_id from c order by owner_id
    on conflict (owner_id) do update set order_id = excluded.order_id, previous_id = k.order_id
    where k.order_id = '' or k.order_id = any (string_to_array((select c.left_ids from c where c.owner_id = k.owner_id), ','))
    returning owner_id
)
select souk_saga_require((select count(*) from claimed) = cardinality($1::text[]), 'checkout_in_progress', 'a checkout of this cart is in progress')
