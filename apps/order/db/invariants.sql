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
    select 'no saga is parked', s.id, s.state = 'parked' from saga s
)
select name, count(*), count(*) filter (where wrong), coalesce(min(id) filter (where wrong), '') from checks group by name order by name
