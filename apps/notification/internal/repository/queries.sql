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

-- name: MailFailed :execrows
update mail set state = 'failed', last_error = @reason
where id = @id and state = 'sending' and attempts = @attempts;

-- name: MailAgain :execrows
update mail set state = 'queued', next_at = @at, last_error = coalesce(nullif(@reason::text, ''), last_error)
where id = @id and state = 'sending' and attempts = @attempts;

