-- One row per order, sorted by ID. $1: the IDs of the orders to read; null reads all. The last column tells whether the
-- order is open: a saga of it has not ended. A parked saga counts, too; sagas.sql reports it.
-- Cancelled shop orders count neither in the remaining total nor in the lines.
with open as materialized (
    select id from saga where state in ('running', 'compensating', 'parked')
), open_order as (
    select id as order_id from open -- a checkout's saga has the order's ID
    union all
    select substr(id, length('collect_') + 1) from open where starts_with(id, 'collect_')
    union all
    select o.id from open s join orders o on o.cancel_id = s.id
    union all
    select p.order_id from open s join shop_order p on p.cancel_id = s.id
)
select o.id, o.status, o.confirmed_at is not null, o.currency, o.total,
       coalesce((select sum(p.total) from shop_order p where p.order_id = o.id and p.status <> 'cancelled'), 0)::bigint,
       o.payment_id, o.payment_status, o.payment_method, o.version,
       coalesce((
           select string_agg(i.variant_id || ' ' || i.quantity, ',' order by i.variant_id collate "C")
           from (
               select n.variant_id, sum(n.quantity)::text as quantity
               from order_item n join shop_order p on p.id = n.shop_order_id
               where n.order_id = o.id and p.order_id = o.id and p.status <> 'cancelled' group by n.variant_id
           ) i
       ), ''),
       coalesce((
           select string_agg(d.voucher_id || ' ' || d.amount, ',' order by d.voucher_id collate "C")
           from (
               select x ->> 'voucher_id' as voucher_id, sum((x ->> 'amount')::bigint)::text as amount
               from (
                   select jsonb_array_elements(n.discounts) as x from order_item n where n.order_id = o.id and n.discounts <> '[]'
                   union all
                   select jsonb_array_elements(p.shipping_discounts) from shop_order p
                   where p.order_id = o.id and p.shipping_discounts <> '[]'
               ) all_discounts
               group by x ->> 'voucher_id'
           ) d
       ), ''),
       b.order_id is not null
from orders o left join (select distinct order_id from open_order) b on b.order_id = o.id
where ($1::text[] is null or o.id = any ($1))
  -- The other rows are only keys of checkouts that were refused before there was an order.
  and (o.total > 0 or o.status <> 'cancelled')
order by o.id collate "C"
