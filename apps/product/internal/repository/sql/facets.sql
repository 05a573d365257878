-- $1 bounds between price ranges, $2 the path of the variants that count. The code replaces
-- the listing by the matches of the search, and the price by that of the variants that are asked for.
with m as materialized (
    select l.product_id, l.variants, l.shop_id, l.category_ids[array_upper(l.category_ids, 1)] as category_id, l.currency,
        l.rating_avg, /* price */ l.price as price
    from /* matches */ listing l
)
select f.kind, f.key, f.name, f.bucket, f.n
from (
    select 'total' as kind, '' as key, '' as name, 0 as bucket, count(*) as n from m
    union all
    (select 'category', c.id, c.name, 0, count(*)
     from m join category c on c.id = m.category_id
     group by c.id, c.name order by count(*) desc, c.id limit 50)
    union all
    (select 'shop', s.shop_id, s.name, 0, count(*)
     from m join shop_ref s on s.shop_id = m.shop_id
     group by s.shop_id, s.name order by count(*) desc, s.shop_id limit 50)
    union all
    (select 'option', o.key, o.value, 0, count(distinct m.product_id)
     from m, jsonb_path_query(m.variants, $2::jsonpath) v, jsonb_each_text(v -> 'options') o
     group by o.key, o.value order by count(distinct m.product_id) desc, o.key, o.value limit 200)
    union all
    select 'price', m.currency, '', width_bucket(m.price, $1::bigint[]), count(*)
    from m
    where m.currency <> ''
    group by m.currency, width_bucket(m.price, $1::bigint[])
    union all
    select 'rating', '', '', floor(m.rating_avg)::int, count(*)
    from m
    where m.rating_avg >= 1
    group by floor(m.rating_avg)
) f
order by f.kind, case f.kind when 'price' then 0 else -f.n end, f.key, f.name, f.bucket
