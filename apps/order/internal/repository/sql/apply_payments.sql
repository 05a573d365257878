-- Applies payment updates, unless a newer one was applied. Of several updates of one order, the newest is applied.
with n as (
    select distinct on (n.id) n.id, n.payment_id, n.payment_status, n.payment_version, n.at
    from unnest((select $1::text[]), (select $2::text[]), (select $3::text[]), (select $4::bigint[]), (select $5::timestamptz[]))
        as n (id, payment_id, payment_status, payment_version, at)
    order by n.id, n.payment_version desc
), held as (
    select o.id from orders o join n on n.id = o.id order by o.id for update of o
)
update orders o set payment_status = n.payment_status, payment_version = n.payment_version,
    payment_id = case when o.payment_id = '' then n.payment_id else o.payment_id end,
    version = o.version + 1, updated_at = greatest(o.updated_at, n.at)
from n join held on held.id = n.id
where o.id = n.id and o.payment_version < n.payment_version
  -- a cancellation stores the refund before the event arrives
  and not (n.payment_status = 'captured' and o.payment_status in ('partially_refunded', 'refunded'))
