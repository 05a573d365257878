-- $1 events, $2 their types, $3 shops, '' for the marketplace, $4 bodies, $5 when they happened, $6 times.
-- The ID of a delivery begins with the time of its event, so that the log is in that order.
changed as (
    insert into delivery (id, webhook_id, event_id, event, body, status, created_at, next_attempt_at)
    select 'whd_' || substr(e.event_id, 5, 13) || substr(md5(w.id || e.event_id), 1, 19), w.id, e.event_id, e.event, e.body,
           'queued', e.now, e.now
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
        as e (event_id, event, shop_id, body, at, now)
    join webhook w on w.shop_id = e.shop_id and w.status = 'active' and w.created_at <= e.at
        and w.events && array['*', e.event, regexp_replace(e.event, '[^.]+$', '*')]
    on conflict (webhook_id, event_id) do nothing
    returning id || '/' || round as id, 'webhook_delivery' as job, 'webhook' as queue, created_at as due, created_at as at
)
