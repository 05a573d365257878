-- Locks the rows that are not locked yet, and returns the others with locked = false. $1 variants, and those of the
-- reservations of $2 orders
select v.id as variant_id, coalesce(k.on_hand, 0)::bigint as on_hand, coalesce(k.reserved, 0)::bigint as reserved, v.product_id, v.shop_id, v.sku, p.title,
       (v.deleted_at is null and p.deleted_at is null and p.status = 'active' and s.sells)::bool as for_sale,
       (k.variant_id is not null)::bool as locked
from variant v
join product p on p.id = v.product_id
join shop_ref s on s.shop_id = v.shop_id
left join lateral (
    select y.variant_id, y.on_hand, y.reserved from stock y where y.variant_id = v.id for update skip locked
) k on true
where v.id = any (array(
    select unnest((select $1::text[]))
    union
    select l.variant_id from reservation_line l where l.order_id = any ((select $2::text[])::text[])
))
