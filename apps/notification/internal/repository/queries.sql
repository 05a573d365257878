-- name: QueueMail :execrows
insert into mail (id, kind, order_id, next_at, traceparent, created_at)
values (@id, @kind, @order_id, @at, @traceparent, @at)
on conflict (kind, order_id) do nothing;

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

-- name: MailSent :execrows
update mail set state = 'sent', sent_at = @at::timestamptz, last_error = ''
where id = @id and state = 'sending' and attempts = @attempts;

-- name: MailFailed :execrows
update mail set state = 'failed', last_error = @reason
where id = @id and state = 'sending' and attempts = @attempts;

-- name: MailAgain :execrows
update mail set state = 'queued', next_at = @at, last_error = @reason
where id = @id and state = 'sending' and attempts = @attempts;

