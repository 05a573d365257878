-- Adds items to the open lists of shops, and opens the missing ones. A list holds about 50 items.
-- $1 IDs, $2 kinds, $3 shops, $4 items, $5 when they are due, $6 times, $7 trace contexts
list as (
    insert into notice (id, kind, shop_id, items, due_at, traceparent, created_at, open)
    select n.id, n.kind, n.shop_id, n.items, n.due, n.traceparent, n.at, true
    from (
        select min(i.id) as id, i.kind, i.shop_id, jsonb_agg(i.item::jsonb order by i.id) as items, min(i.due) as due, min(i.at) as at,
               min(i.traceparent) as traceparent
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[])
            as i (id, kind, shop_id, item, due, at, traceparent)
        group by i.kind, i.shop_id
        order by i.kind, i.shop_id
    ) n
    on conflict (kind, shop_id) where open do update
    set items = case when jsonb_array_length(notice.items) < 50 then notice.items || excluded.items else notice.items end
    returning id, due_at, created_at
),
changed as (
    select l.id, 'notice' as job, 'notice' as queue, l.due_at as due, l.created_at as at
    from list l where l.id = any($1::text[]) -- not one that was open already
)
