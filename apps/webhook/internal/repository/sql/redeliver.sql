-- Begins a new round of a delivery to an active webhook. It replaces the one before.
changed as (
    update delivery d set status = 'queued', failure = '', round = d.round + 1, round_attempts = 0, next_attempt_at = $2
    from webhook w
    where d.id = $1 and w.id = d.webhook_id and w.status = 'active'
    returning d.id || '/' || d.round as id, 'webhook_delivery' as job, 'webhook' as queue, $2::timestamptz as due, $2::timestamptz as at
)
