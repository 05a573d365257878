insert into shop_order (id, order_id, position, shop_id, shop_name, status, subtotal, discount, shipping, tax, total, placed_at,
    shipping_discounts)
select id, order_id, position, shop_id, shop_name, 'pending', subtotal, discount, shipping, tax, total, placed_at, discounts::jsonb
from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[],
        $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::timestamptz[], $12::text[])
    as s (id, order_id, position, shop_id, shop_name, subtotal, discount, shipping, tax, total, placed_at, discounts)
