-- $1 IDs, $2 kinds, $3 orders, $4 what else they are about, $5 shops, $6 items, $7 when they are due, $8 times, $9 trace contexts
insert into mail (id, kind, order_id, about, shop_id, items, next_at, traceparent, created_at)
select m.id, m.kind, nullif(m.order_id, ''), nullif(m.about, ''), nullif(m.shop_id, ''), m.items::jsonb, m.due, m.traceparent, m.at
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[])
    as m (id, kind, order_id, about, shop_id, items, due, at, traceparent)
on conflict do nothing
