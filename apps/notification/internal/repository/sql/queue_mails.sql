-- $1 IDs, $2 kinds, $3 orders, $4 times, $5 trace contexts
insert into mail (id, kind, order_id, next_at, traceparent, created_at)
select m.id, m.kind, m.order_id, m.at, m.traceparent, m.at
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[]) as m (id, kind, order_id, at, traceparent)
on conflict (kind, order_id) do nothing
