-- name: Charge :many
-- Inserts the charges whose keys are new.
with input as (
    select unnest(@keys::text[]) as key, unnest(@statuses::text[]) as status, unnest(@currencies::text[]) as currency,
           unnest(@amounts::bigint[]) as amount, unnest(@reasons::text[]) as reason,
           unnest(@webhook_ids::text[]) as webhook_id, unnest(@bodies::bytea[]) as body
), made as (
    insert into sandbox.charge (key, status, currency, amount, reason)
    select i.key, i.status, i.currency, i.amount, i.reason from input i
    on conflict (key) do nothing
    returning charge.key
), queued as (
    insert into sandbox.webhook (id, body)
    select i.webhook_id, i.body from input i join made m on m.key = i.key where i.webhook_id <> ''
)
select m.key from made m;

-- name: Capture :many
-- Rows are locked in the order of their keys, so that two statements cannot deadlock.
-- Arrays that select rows are wrapped in sub-selects, here and below, so that the planner cannot see their lengths.
-- Otherwise it would plan each execution again, which takes longer than the statement runs.
with input as (
    select unnest((select @keys::text[])::text[]) as key, unnest((select @webhook_ids::text[])::text[]) as webhook_id, unnest((select @bodies::bytea[])::bytea[]) as body
), held as (
    select c.key, i.webhook_id, i.body
    from input i join sandbox.charge c on c.key = i.key
    where c.status = 'authorized'
    order by c.key for update of c
), moved as (
    update sandbox.charge c set status = 'captured', captured = c.amount, updated_at = now()
    from held h
    where c.key = h.key
    returning c.key, c.currency, c.amount, h.webhook_id, h.body
), booked as (
    insert into sandbox.ledger_entry (kind, key, account, currency, amount)
    select 'capture', m.key, e.account, m.currency, e.sign * m.amount
    from moved m cross join (values ('customer', -1), ('merchant', 1)) e (account, sign)
), queued as (
    insert into sandbox.webhook (id, body) select m.webhook_id, m.body from moved m where m.webhook_id <> ''
)
select m.key from moved m;

-- name: Void :execrows
-- Voids a charge that is not captured. If the charge has not arrived, a tombstone refuses it later.
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
), queued as (
    insert into sandbox.webhook (id, body) select @webhook_id::text, @body::bytea from moved where @webhook_id::text <> ''
)
insert into sandbox.refund (key, charge_key, amount) select @refund_key, m.key, @amount::bigint from moved m;

-- name: Refunded :one
select exists (select from sandbox.refund where key = $1);

-- name: Charges :many
select key, status, currency, amount, captured, refunded, reason from sandbox.charge where key = any ((select @keys::text[])::text[]);

-- name: ChargesAfter :many
select key, status, currency, captured, refunded, reason, created_at
from sandbox.charge
where (created_at, key) > (@created_at::timestamptz, @key::text) and status <> 'tombstone'
order by created_at, key limit @most;

-- name: Trick :execrows
-- Returns 1 the first time that the call is misanswered in this way.
insert into sandbox.call (key, op, outcome) values ($1, $2, $3) on conflict do nothing;

-- name: DueWebhooks :many
-- Returns due webhooks and schedules their next attempt, later each time; a delivered webhook is deleted before that.
-- Neither this nor the deletion waits for the disk: a receiver must expect a notice twice anyway.
update sandbox.webhook w
set attempts = w.attempts + 1, next_attempt_at = now() + interval '1 second' * power(2, least(w.attempts, 12))
from (select set_config('synchronous_commit', 'off', true)) as relaxed
where w.id in (
    select d.id from sandbox.webhook d
    where d.delivered_at is null and d.dropped_at is null and d.next_attempt_at <= now()
    order by d.next_attempt_at limit @batch for update skip locked)
returning w.id, w.body, w.attempts;

-- name: Delivered :exec
-- A locked webhook is being delivered by another process as well, which deletes it.
delete from sandbox.webhook w
using (select set_config('synchronous_commit', 'off', true)) as relaxed
where w.id in (select d.id from sandbox.webhook d where d.id = any ((select @ids::text[])::text[]) for update skip locked);

-- name: Dropped :exec
update sandbox.webhook set dropped_at = now() where id = $1;

-- name: ForgetWebhooks :execrows
-- Deletes old webhooks that were dropped, or that the previous release delivered and kept.
with old as (
    select id from sandbox.webhook
    where (delivered_at is not null or dropped_at is not null)
      and coalesce(delivered_at, dropped_at) < now() - make_interval(secs => @keep_seconds::float8)
    order by coalesce(delivered_at, dropped_at) limit @most for update skip locked
)
delete from sandbox.webhook w using old where w.id = old.id;

-- name: ForgetCalls :execrows
-- Deletes old calls. After that a token misbehaves once more.
with old as (
    select key, op, outcome from sandbox.call
    where at < now() - make_interval(secs => @keep_seconds::float8) order by at limit @most for update skip locked
)
delete from sandbox.call c using old where c.key = old.key and c.op = old.op and c.outcome = old.outcome;
