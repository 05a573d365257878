-- $1 variants, and those of the reservations of $2 orders
select k.variant_id, k.on_hand, k.reserved, v.product_id, v.shop_id, v.sku, p.title,
       (v.deleted_at is null and p.deleted_at is null and p.status = 'active' and s.sells)::bool as for_sale, true as locked
from stock k
join variant v on v.id = k.variant_id
join product p on p.id = v.product_id
join shop_ref s on s.shop_id = v.shop_id
where k.variant_id = any (array(
    select unnest((select $1::text[]))
    union
    select l.variant_id from reservation_line l where l.order_id = any ((select $2::text[])::text[])
))
order by k.variant_id
for update of k
