-- Counts what was sold and cancelled of orders, unless it was counted before. Rows are written in the order of their keys,
-- so that two transactions cannot deadlock.
with s as (
    select * from sale where order_id = any ((select $1::text[])::text[])
), counted as (
    insert into sale_counted (shop_order_id, cancelled, day)
    select s.shop_order_id, s.cancelled, s.day from s order by s.shop_order_id, s.cancelled
    on conflict do nothing
    returning shop_order_id, cancelled
)
insert into sales_day as d (shop_id, day, currency, orders, pieces, goods, discounts, shipping, tax, cancelled_orders, cancelled_total)
select s.shop_id, s.day, s.currency, sum(s.orders), sum(s.pieces), sum(s.goods), sum(s.discounts), sum(s.shipping), sum(s.tax),
       sum(s.cancelled_orders), sum(s.cancelled_total)
from s join counted c on c.shop_order_id = s.shop_order_id and c.cancelled = s.cancelled
group by s.shop_id, s.day, s.currency order by s.shop_id, s.day, s.currency
on conflict (shop_id, day, currency) do update set
    orders = d.orders + excluded.orders, pieces = d.pieces + excluded.pieces, goods = d.goods + excluded.goods,
    discounts = d.discounts + excluded.discounts, shipping = d.shipping + excluded.shipping, tax = d.tax + excluded.tax,
    cancelled_orders = d.cancelled_orders + excluded.cancelled_orders, cancelled_total = d.cancelled_total + excluded.cancelled_total
