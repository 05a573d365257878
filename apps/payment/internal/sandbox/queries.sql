-- name: Charge :many
-- Makes charges, those that are not there yet.
with input as (
    select unnest(@keys::text[]) as key, unnest(@statuses::text[]) as status, unnest(@currencies::text[]) as currency,
           unnest(@amounts::bigint[]) as amount, unnest(@reasons::text[]) as reason,
           unnest(@webhook_ids::text[]) as webhook_id, unnest(@bodies::bytea[]) as body
), made as (
    insert into sandbox.charge (key, status, currency, amount, reason)
    select i.key, i.status, i.currency, i.amount, i.reason from input i
    on conflict (key) do nothing
    returning charge.key
), told as (
    insert into sandbox.webhook (id, body)
    select i.webhook_id, i.body from input i join made m on m.key = i.key where i.webhook_id <> ''
)
select m.key from made m;

-- name: Capture :many
with input as (
    select unnest(@keys::text[]) as key, unnest(@webhook_ids::text[]) as webhook_id, unnest(@bodies::bytea[]) as body
), moved as (
    update sandbox.charge c set status = 'captured', captured = c.amount, updated_at = now()
    from input i
    where c.key = i.key and c.status = 'authorized'
    returning c.key, c.currency, c.amount, i.webhook_id, i.body
), booked as (
    insert into sandbox.ledger_entry (kind, key, account, currency, amount)
    select 'capture', m.key, e.account, m.currency, e.sign * m.amount
    from moved m cross join (values ('customer', -1), ('merchant', 1)) e (account, sign)
), told as (
    insert into sandbox.webhook (id, body) select m.webhook_id, m.body from moved m where m.webhook_id <> ''
)
select m.key from moved m;

-- name: Void :execrows
-- Voids a charge that is not captured. One that never arrived leaves a tombstone, which a late charge meets.
with moved as (
    insert into sandbox.charge (key, status, currency, amount)
    values (@key, 'tombstone', '', 0)
    on conflict (key) do update set status = 'voided', updated_at = now() where charge.status = 'authorized'
    returning charge.key
)
insert into sandbox.webhook (id, body) select @webhook_id::text, @body::bytea from moved where @webhook_id::text <> '';

-- name: Refund :execrows
with moved as (
    update sandbox.charge c set refunded = c.refunded + @amount::bigint, updated_at = now()
    where c.key = @key and c.status = 'captured' and c.refunded + @amount::bigint <= c.captured
      and not exists (select from sandbox.refund r where r.key = @refund_key)
    returning c.key, c.currency
), booked as (
    insert into sandbox.ledger_entry (kind, key, account, currency, amount)
    select 'refund', @refund_key, e.account, m.currency, e.sign * @amount::bigint
    from moved m cross join (values ('customer', 1), ('merchant', -1)) e (account, sign)
), told as (
    insert into sandbox.webhook (id, body) select @webhook_id::text, @body::bytea from moved where @webhook_id::text <> ''
)
insert into sandbox.refund (key, charge_key, amount) select @refund_key, m.key, @amount::bigint from moved m;

-- name: Refunded :one
select exists (select from sandbox.refund where key = $1);

-- name: Charges :many
select key, status, currency, amount, captured, refunded, reason from sandbox.charge where key = any (@keys::text[]);

-- name: Trick :execrows
-- 1 the first time that the call is misanswered in this way.
insert into sandbox.call (key, op, outcome) values ($1, $2, $3) on conflict do nothing;

-- name: DueWebhooks :many
-- Takes what is to be delivered; what is not marked as delivered comes again, later each time. Neither this nor the
-- mark waits for the disk: a notice that is delivered twice is what its receiver has to be ready for anyway.
update sandbox.webhook w
set attempts = w.attempts + 1, next_attempt_at = now() + interval '1 second' * power(2, least(w.attempts, 12))
from (select set_config('synchronous_commit', 'off', true)) as relaxed
where w.id in (
    select d.id from sandbox.webhook d
    where d.delivered_at is null and d.dropped_at is null and d.next_attempt_at <= now()
    order by d.next_attempt_at limit @batch for update skip locked)
returning w.id, w.body, w.attempts;

-- name: Delivered :exec
update sandbox.webhook set delivered_at = now()
from (select set_config('synchronous_commit', 'off', true)) as relaxed
where id = any (@ids::text[]);

-- name: Dropped :exec
update sandbox.webhook set dropped_at = now() where id = $1;
