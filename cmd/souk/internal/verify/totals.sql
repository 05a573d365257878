-- Orders whose total differs from the sum of their shop orders or of their lines. $1: how many IDs to show.
with parts as (
    select order_id, sum(subtotal) as subtotal, sum(discount) as discount, sum(shipping) as shipping, sum(tax) as tax, sum(total) as total
    from shop_order group by order_id
), lines as (
    select order_id, sum(quantity * unit_price) as subtotal from order_item group by order_id
), checked as (
    select coalesce(o.id, p.order_id, l.order_id) as id,
           row(o.subtotal, o.discount, o.shipping, o.tax, o.total) is distinct from row(p.subtotal, p.discount, p.shipping, p.tax, p.total)
               or o.subtotal is distinct from l.subtotal
               or o.total is distinct from o.subtotal - o.discount + o.shipping + o.tax as wrong
    -- The rows left out are only keys of checkouts that were refused before there was an order.
    from (select * from orders where total > 0 or status <> 'cancelled') o
    full join parts p on p.order_id = o.id
    full join lines l on l.order_id = coalesce(o.id, p.order_id)
)
select count(*), count(*) filter (where wrong), coalesce((array_agg(id order by id) filter (where wrong))[:$1], '{}')
from checked
