-- Variants whose reserved pieces differ from the sum of their held reservations. $1: how many IDs to show.
with held as (
    select l.variant_id, sum(l.quantity) as reserved
    from reservation r join reservation_line l on l.order_id = r.order_id
    where r.state = 'held'
    group by l.variant_id
), checked as (
    select coalesce(s.variant_id, h.variant_id) as variant_id, s.reserved is distinct from coalesce(h.reserved, 0) as wrong
    from stock s full join held h on h.variant_id = s.variant_id
)
select count(*), count(*) filter (where wrong), coalesce((array_agg(variant_id order by variant_id) filter (where wrong))[:$1], '{}')
from checked
