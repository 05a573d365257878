-- One row per check: its name, the number of rows examined, the number that break the rule, and the ID of one of those.
with parts as (
    select order_id, count(*) as n, sum(subtotal) as subtotal, sum(discount) as discount, sum(shipping) as shipping,
           sum(tax) as tax, sum(total) as total, count(*) filter (where status in ('shipped', 'delivered')) as n_shipped,
           count(*) filter (where status = 'delivered') as n_delivered, count(*) filter (where status <> 'cancelled') as n_left,
           bool_and(status = 'pending') as pending, bool_or(status = 'pending') as some_pending,
           -- A cancellation cancels several shop orders with one event; a refused checkout has no cancellation.
           count(distinct cancel_id) filter (where status = 'cancelled') as n_cancels
    from shop_order group by order_id
), lines as (
    select shop_order_id, sum(line_total) as subtotal, sum(discount) as discount from order_item group by shop_order_id
), events as (
    select aggregate_id, array[count(*) filter (where subject = 'evt.order.created'), count(*) filter (where subject = 'evt.order.confirmed'),
           count(*) filter (where subject = 'evt.order.shipped'), count(*) filter (where subject = 'evt.order.delivered'),
           count(*) filter (where subject = 'evt.order.cancelled')] as n
    from outbox group by aggregate_id
), counted as (
    select c.shop_order_id, c.cancelled, s.shop_id, c.day, s.currency, s.orders, s.pieces, s.goods, s.discounts, s.shipping, s.tax,
           s.cancelled_orders, s.cancelled_total
    from sale_counted c left join sale s on s.shop_order_id = c.shop_order_id and s.cancelled = c.cancelled
), sold as (
    select shop_id, day, currency, sum(orders) as orders, sum(pieces) as pieces, sum(goods) as goods, sum(discounts) as discounts,
           sum(shipping) as shipping, sum(tax) as tax, sum(cancelled_orders) as cancelled_orders, sum(cancelled_total) as cancelled_total
    from counted where shop_id is not null group by shop_id, day, currency
), uncounted as (
    -- orders with an event that the sales have not handled yet
    select distinct e.aggregate_id as order_id from outbox e left join inbox i on i.consumer = 'order_sales' and i.event_id = e.id
    where e.subject in ('evt.order.confirmed', 'evt.order.cancelled') and i.event_id is null
), checks as (
    select 'orders add up to their parts' as name, o.id,
           p.n is null or o.subtotal <> p.subtotal or o.discount <> p.discount or o.shipping <> p.shipping or o.tax <> p.tax or o.total <> p.total as wrong
    from orders o left join parts p on p.order_id = o.id
    where o.total > 0 or o.status <> 'cancelled' or p.n is not null
    union all
    select 'shop orders add up to their lines', s.id, l.subtotal is distinct from s.subtotal or l.discount is distinct from s.discount
    from shop_order s left join lines l on l.shop_order_id = s.id
    union all
    select 'lines add up to what vouchers took off them', i.order_id,
           i.discount <> (select sum((d ->> 'amount')::bigint) from jsonb_array_elements(i.discounts) d)
    from order_item i where i.discounts <> '[]'
    union all
    select 'orders stand where their parts stand', o.id,
           case o.status when 'pending' then not p.pending when 'cancelled' then p.n_left > 0
               when 'delivered' then p.n_left = 0 or p.n_delivered < p.n_left
               when 'shipped' then p.n_shipped < p.n_left or p.n_delivered = p.n_left
               else p.some_pending or p.n_shipped = p.n_left end
    from orders o join parts p on p.order_id = o.id
    union all
    select 'no checkout is pending without a saga that runs', o.id,
           not exists (select from saga s where s.id = o.id and s.state in ('running', 'compensating'))
    from orders o where o.status = 'pending'
    union all
    select 'every confirmed order has a payment, unless it costs nothing', o.id, (o.payment_id = '') <> (o.total = 0) from orders o where o.confirmed_at is not null
    union all
    select 'no cart was ordered twice', o.id, count(*) over (partition by o.cart_owner_id, o.cart_version) > 1
    from orders o where o.confirmed_at is not null and o.cart_version > 0
    union all
    select 'refused checkouts are not paid for', o.id, o.payment_status not in ('pending', 'failed', 'voided')
    from orders o where o.status = 'cancelled' and o.confirmed_at is null
    union all
    -- Published events are deleted after a week, so an old order may lack some.
    select 'every change of an order appended its event once', o.id,
           exists (select from unnest(e.n, array[1, (o.confirmed_at is not null)::int, p.n_shipped, p.n_delivered, p.n_cancels]) as c (n, want)
               where coalesce(c.n, 0) > c.want or coalesce(c.n, 0) < c.want and o.placed_at > now() - interval '6 days')
    from orders o join parts p on p.order_id = o.id left join events e on e.aggregate_id = o.id
    union all
    select 'every shop order that is being cancelled has a saga that runs', s.id,
           not exists (select from saga g where g.id = s.cancel_id and g.state in ('running', 'compensating'))
    from shop_order s where s.cancel_id <> '' and s.status = 'confirmed'
    union all
    select 'sales by day add up to what was counted', coalesce(d.shop_id, s.shop_id) || ' ' || coalesce(d.day, s.day),
           (d.orders, d.pieces, d.goods, d.discounts, d.shipping, d.tax, d.cancelled_orders, d.cancelled_total)
               is distinct from (s.orders, s.pieces, s.goods, s.discounts, s.shipping, s.tax, s.cancelled_orders, s.cancelled_total)
    from sales_day d full join sold s on s.shop_id = d.shop_id and s.day = d.day and s.currency = d.currency
    union all
    select 'what counts as sold or cancelled was', shop_order_id, shop_id is null from counted
    union all
    select 'orders whose events were handled count in the sales', s.shop_order_id, c.shop_order_id is null
    from sale s left join sale_counted c on c.shop_order_id = s.shop_order_id and c.cancelled = s.cancelled
    where not exists (select from uncounted u where u.order_id = s.order_id)
    union all
    select 'no saga is parked', s.id, s.state = 'parked' from saga s
)
select name, count(*), count(*) filter (where wrong), coalesce(min(id) filter (where wrong), '') from checks group by name order by name
