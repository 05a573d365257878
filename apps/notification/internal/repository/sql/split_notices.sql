-- Ends notices with their deliveries.
-- $1 notices, $2 times; of each delivery: $3 its notice, $4 ID, $5 channel, $6 recipient
ended as (
    update notice n set state = 'done', last_error = '', ended_at = i.at, open = false
    from unnest($1::text[], $2::timestamptz[]) as i (id, at)
    where n.id = i.id and n.state = 'queued'
    returning n.id, n.ended_at
),
changed as (
    insert into delivery (id, notice_id, channel, recipient, created_at)
    select t.id, e.id, t.channel, t.recipient, e.ended_at
    from ended e join unnest($3::text[], $4::text[], $5::text[], $6::text[]) as t (notice_id, id, channel, recipient) on t.notice_id = e.id
    on conflict do nothing
    returning id, 'delivery' as job, channel as queue, created_at as due, created_at as at
)
