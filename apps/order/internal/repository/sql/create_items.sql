insert into order_item (order_id, position, shop_order_id, variant_id, product_id, title, sku, options, quantity, unit_price, line_total,
    discount, discounts)
select order_id, position, shop_order_id, variant_id, product_id, title, sku, options::jsonb, quantity, unit_price, line_total,
    discount, discounts::jsonb
from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
        $11::bigint[], $12::bigint[], $13::text[])
    as i (order_id, position, shop_order_id, variant_id, product_id, title, sku, options, quantity, unit_price, line_total, discount, discounts)
