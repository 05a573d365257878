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
returning id, kind, coalesce(order_id, '')::text as order_id, coalesce(about, '')::text as about, coalesce(shop_id, '')::text as shop_id,
    coalesce(user_id, '')::text as user_id, items, attempts, traceparent, created_at;

-- name: EndMail :execrows
update mail set state = @state, last_error = @reason, open = false
where id = @id and state = 'sending' and attempts = @attempts;

-- name: MailAgain :execrows
update mail set state = 'queued', next_at = @at, last_error = coalesce(nullif(@reason::text, ''), last_error)
where id = @id and state = 'sending' and attempts = @attempts;

-- name: SplitMail :execrows
-- Replaces a mail to a shop by one for each of its owners.
with whole as (
    update mail m set state = 'split', sent_at = @now::timestamptz, open = false
    where m.id = @id and m.state = 'sending' and m.attempts = @attempts
    returning m.id, m.kind, m.shop_id, m.items, m.traceparent
)
insert into mail (id, kind, about, shop_id, user_id, items, next_at, traceparent, created_at)
select p.id, w.kind, w.id || ':' || p.user_id, w.shop_id, p.user_id, w.items, @now::timestamptz, w.traceparent, @now::timestamptz
from whole w, (select unnest(@ids::text[]) as id, unnest(@user_ids::text[]) as user_id) p;

-- name: ForgetRecipients :execrows
delete from recipient_mail where mail_id in (select r.mail_id from recipient_mail r where r.at <= @before limit @most);
