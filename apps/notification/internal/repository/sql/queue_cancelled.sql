-- Queues the mail about a cancelled order, or a part of it. If the customer cancelled before the confirmation was sent, no mail about a
-- part is needed: the confirmation leaves it out. If the whole order is cancelled, neither is sent. If somebody else cancelled, the
-- customer is told in any case, after the confirmation.
-- $1 ID, $2 order, $3 what part it is about ('' for the whole order), $4 items, $5 time, $6 trace context, $7 whether somebody else
-- than the customer cancelled
with skipped as (
    update mail set state = 'skipped', last_error = 'the order was cancelled'
    where kind = 'order_confirmed' and order_id = $2::text and state = 'queued' and last_error = '' and $3::text = ''
    returning order_id
)
insert into mail (id, kind, order_id, about, items, next_at, traceparent, created_at)
select $1::text, 'order_cancelled', case when $3::text = '' then $2::text end, nullif($3::text, ''), $4::jsonb,
       coalesce((
           select greatest(m.next_at, $5::timestamptz) + interval '1 second' from mail m
           where m.kind = 'order_confirmed' and m.order_id = $2::text and m.state = 'queued' and $3::text <> ''
       ), $5::timestamptz),
       $6::text, $5::timestamptz
where $7::boolean or not exists (select from skipped) and not exists (
    select from mail m
    where m.kind = 'order_confirmed' and m.order_id = $2::text
      and (m.state = 'skipped' or $3::text <> '' and m.state = 'queued' and m.last_error = '')
)
on conflict do nothing
