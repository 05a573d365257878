-- Adds a delivery to an active webhook.
changed as (
    insert into delivery (id, webhook_id, event_id, event, body, status, created_at, next_attempt_at)
    select $1, w.id, $3, $4, $5, 'queued', $6, $6 from webhook w where w.id = $2 and w.status = 'active'
    returning id || '/' || round as id, 'webhook_delivery' as job, 'webhook' as queue, created_at as due, created_at as at
)
