-- Adds the notice about a cancelled order, or a part of it. If the customer cancelled before the confirmation was due, no notice about a
-- part is needed: the confirmation leaves it out. If the whole order is cancelled, neither is sent. If somebody else cancelled, the
-- customer is told in any case, after the confirmation.
-- $1 ID, $2 order, $3 what part it is about ('' for the whole order), $4 items, $5 time, $6 trace context, $7 whether somebody else
-- than the customer cancelled
skipped as (
    update notice set state = 'skipped', last_error = 'the order was cancelled', ended_at = $5::timestamptz
    where kind = 'order_confirmed' and order_id = $2::text and state = 'queued' and last_error = '' and $3::text = ''
    returning order_id
),
changed as (
    insert into notice (id, kind, order_id, about, items, due_at, traceparent, created_at)
    select $1::text, 'order_cancelled', case when $3::text = '' then $2::text end, nullif($3::text, ''), $4::jsonb,
           coalesce((
               select greatest(n.due_at, $5::timestamptz) + interval '1 second' from notice n
               where n.kind = 'order_confirmed' and n.order_id = $2::text and n.state = 'queued' and $3::text <> ''
           ), $5::timestamptz),
           $6::text, $5::timestamptz
    where $7::boolean or not exists (select from skipped) and not exists (
        select from notice n
        where n.kind = 'order_confirmed' and n.order_id = $2::text
          and (n.state = 'skipped' or $3::text <> '' and n.state = 'queued' and n.last_error = '')
    )
    on conflict do nothing
    returning id, 'notice' as job, 'notice' as queue, due_at as due, created_at as at
)
