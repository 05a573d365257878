-- name: ClaimMails :many
update mail
set state = 'sending', attempts = attempts + 1, next_at = @until
where id in (
    select m.id from mail m
    where m.state in ('queued', 'sending') and m.next_at <= @now
    order by m.next_at
    limit @at_most
    for update skip locked
)
returning id, kind, order_id, attempts, traceparent, created_at;

-- name: MailsSent :exec
-- Marks mails as sent that their sender still holds, and appends their events.
with input as (
    select unnest(@ids::text[]) as id, unnest(@attempts::int[]) as attempts, unnest(@ats::timestamptz[]) as at,
           unnest(@event_ids::text[]) as event_id, unnest(@subjects::text[]) as subject, unnest(@types::text[]) as type,
           unnest(@metadatas::text[]) as metadata, unnest(@payloads::bytea[]) as payload
), sent as (
    update mail m
    set state = 'sent', sent_at = i.at, last_error = ''
    from input i
    where m.id = i.id and m.state = 'sending' and m.attempts = i.attempts
    returning m.id, i.at, i.event_id, i.subject, i.type, i.metadata, i.payload
)
insert into outbox (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload)
select s.event_id, s.subject, s.type, s.id, 1, s.at, s.metadata::jsonb, s.payload
from sent s;

-- name: MailFailed :execrows
update mail set state = 'failed', last_error = @reason
where id = @id and state = 'sending' and attempts = @attempts;

-- name: MailAgain :execrows
update mail set state = 'queued', next_at = @at, last_error = coalesce(nullif(@reason::text, ''), last_error)
where id = @id and state = 'sending' and attempts = @attempts;

