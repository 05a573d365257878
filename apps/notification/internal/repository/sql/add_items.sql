-- Adds items to the open lists of shops, and opens the missing ones. A list is due so late that a shop gets at most $7 of its kind
-- in an hour. It holds about 50 items.
-- $1 IDs, $2 kinds, $3 shops, $4 items, $5 when they are due, $6 times, $7 lists an hour, $8 trace contexts
insert into mail (id, kind, shop_id, items, next_at, traceparent, created_at, open)
select n.id, n.kind, n.shop_id, n.items, greatest(n.due, (
           select m.sent_at + interval '1 hour' from mail m
           where m.state = 'split' and m.kind = n.kind and m.shop_id = n.shop_id
           order by m.sent_at desc offset n.hourly - 1 limit 1
       )), n.traceparent, n.at, true
from (
    select min(i.id) as id, i.kind, i.shop_id, jsonb_agg(i.item::jsonb order by i.id) as items, min(i.due) as due, min(i.at) as at,
           min(i.hourly) as hourly, min(i.traceparent) as traceparent
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::int[], $8::text[])
        as i (id, kind, shop_id, item, due, at, hourly, traceparent)
    group by i.kind, i.shop_id
    order by i.kind, i.shop_id
) n
on conflict (kind, shop_id) where open do update
set items = case when jsonb_array_length(mail.items) < 50 then mail.items || excluded.items else mail.items end
