-- One row per order, sorted by ID. $1: the IDs of the orders to read; null reads all. The last column tells whether the
-- order is open: a saga of it has not ended. A parked saga counts, too; sagas.sql reports it.
-- Cancelled shop orders count neither in the remaining total nor in the lines.
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
       exists (
           select from saga s
           where s.state in ('running', 'compensating', 'parked') and (s.id in (o.id, o.cancel_id, 'collect_' || o.id)
               or s.id in (select p.cancel_id from shop_order p where p.order_id = o.id))
       )
from orders o
where ($1::text[] is null or o.id = any ($1))
  -- The other rows are only keys of checkouts that were refused before there was an order.
  and (o.total > 0 or o.status <> 'cancelled')
order by o.id collate "C"
