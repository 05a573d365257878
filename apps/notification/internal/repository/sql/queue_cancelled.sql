-- Queues the mail about a cancelled order, or a part of it. If the confirmation was not sent yet, no mail about a part is needed: the
-- confirmation leaves it out. If the whole order is cancelled, neither is sent.
-- $1 ID, $2 order, $3 what part it is about ('' for the whole order), $4 items, $5 time, $6 trace context
with skipped as (
    update mail set state = 'skipped', last_error = 'the order was cancelled'
    where kind = 'order_confirmed' and order_id = $2::text and state = 'queued' and last_error = '' and $3::text = ''
    returning order_id
)
insert into mail (id, kind, order_id, about, items, next_at, traceparent, created_at)
select $1::text, 'order_cancelled', case when $3::text = '' then $2::text end, nullif($3::text, ''), $4::jsonb, $5::timestamptz,
       $6::text, $5::timestamptz
where not exists (select from skipped)
  and not exists (
      select from mail m
      where m.kind = 'order_confirmed' and m.order_id = $2::text
        and (m.state = 'skipped' or $3::text <> '' and m.state = 'queued' and m.last_error = '')
  )
on conflict do nothing
