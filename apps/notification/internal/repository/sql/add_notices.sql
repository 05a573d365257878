-- $1 IDs, $2 kinds, $3 orders, $4 what else they are about, $5 shops, $6 items, $7 when they are due, $8 times, $9 trace contexts
changed as (
    insert into notice (id, kind, order_id, about, shop_id, items, due_at, created_at, traceparent)
    select n.id, n.kind, nullif(n.order_id, ''), nullif(n.about, ''), nullif(n.shop_id, ''), n.items::jsonb, n.due, n.at, n.traceparent
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[])
        as n (id, kind, order_id, about, shop_id, items, due, at, traceparent)
    on conflict do nothing
    returning id, 'notice' as job, 'notice' as queue, due_at as due, created_at as at
)
