-- The projection sales: what each shop sold on each day (UTC), and what was cancelled. It follows the events that order
-- publishes, so that checkouts do not wait for each other at a row of their shop's day.

-- What can be counted: each shop order that was confirmed, and each that was cancelled after that, with what it adds to its day.
create view sale as
select s.id as shop_order_id, c.cancelled, s.order_id, s.shop_id, o.currency,
       ((case when c.cancelled then coalesce(s.cancelled_at, o.updated_at) else s.confirmed_at end) at time zone 'UTC')::date as day,
       (not c.cancelled)::int::bigint as orders,
       case when c.cancelled then 0 else (
           select coalesce(sum(i.quantity), 0) from order_item i where i.order_id = s.order_id and i.shop_order_id = s.id
       )::bigint end as pieces,
       case when c.cancelled then 0 else s.subtotal end as goods,
       case when c.cancelled then 0 else s.discount end as discounts,
       case when c.cancelled then 0 else s.shipping end as shipping,
       case when c.cancelled then 0 else s.tax end as tax,
       c.cancelled::int::bigint as cancelled_orders,
       case when c.cancelled then s.total else 0 end as cancelled_total
from shop_order s join orders o on o.id = s.order_id cross join (select false as cancelled union all select true) c
where s.confirmed_at is not null and (not c.cancelled or s.status = 'cancelled');

-- What was counted. Only what is inserted here is added to a day, so nothing counts twice.
create table sale_counted (
    shop_order_id text    not null,
    -- whether it counts as cancelled or as sold
    cancelled     boolean not null,
    day           date    not null,
    constraint sale_counted_pkey primary key (shop_order_id, cancelled)
);

create table sales_day (
    shop_id          text   not null,
    day              date   not null,
    currency         text   not null,
    orders           bigint not null,
    pieces           bigint not null,
    -- minor units of the currency
    goods            bigint not null,
    discounts        bigint not null,
    shipping         bigint not null,
    tax              bigint not null,
    cancelled_orders bigint not null,
    cancelled_total  bigint not null,
    constraint sales_day_pkey primary key (shop_id, day, currency)
) with (fillfactor = 75);

-- What was sold before. Their events were published long ago, or find that their order is counted.
with counted as (
    insert into sale_counted (shop_order_id, cancelled, day)
    select shop_order_id, cancelled, day from sale
    returning shop_order_id, cancelled
)
insert into sales_day (shop_id, day, currency, orders, pieces, goods, discounts, shipping, tax, cancelled_orders, cancelled_total)
select s.shop_id, s.day, s.currency, sum(s.orders), sum(s.pieces), sum(s.goods), sum(s.discounts), sum(s.shipping), sum(s.tax),
       sum(s.cancelled_orders), sum(s.cancelled_total)
from sale s join counted c on c.shop_order_id = s.shop_order_id and c.cancelled = s.cancelled
group by s.shop_id, s.day, s.currency;
