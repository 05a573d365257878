-- name: Initiate :many
-- Makes payments, those of orders that have none, and tells of them.
with input as (
    select unnest(@ids::text[]) as id, unnest(@order_ids::text[]) as order_id, unnest(@customer_ids::text[]) as customer_id,
           unnest(@statuses::text[]) as status, unnest(@methods::text[]) as method, unnest(@currencies::text[]) as currency,
           unnest(@amounts::bigint[]) as amount, unnest(@providers::text[]) as provider, unnest(@request_hashes::bytea[]) as request_hash,
           unnest(@ats::timestamptz[]) as at, unnest(@event_ids::text[]) as event_id, unnest(@subjects::text[]) as subject,
           unnest(@types::text[]) as type, unnest(@metadatas::text[]) as metadata, unnest(@payloads::bytea[]) as payload
), made as (
    insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, created_at, updated_at)
    select i.id, i.order_id, i.customer_id, i.status, i.method, i.currency, i.amount, i.provider, i.request_hash, i.at, i.at
    from input i
    on conflict (order_id) do nothing
    returning payment.id
), told as (
    insert into outbox (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload)
    select i.event_id, i.subject, i.type, i.id, 1, i.at, i.metadata::jsonb, i.payload
    from input i join made m on m.id = i.id
)
select m.id from made m;

-- name: Settle :many
-- Moves payments on, those from which the state machine allows it, and tells of it.
with input as (
    select unnest(@ids::text[]) as id, unnest(@statuses::text[]) as status, unnest(@froms::text[]) as froms,
           unnest(@refs::text[]) as ref, unnest(@reasons::text[]) as reason, unnest(@ats::timestamptz[]) as at,
           unnest(@event_ids::text[]) as event_id, unnest(@subjects::text[]) as subject,
           unnest(@types::text[]) as type, unnest(@metadatas::text[]) as metadata, unnest(@payloads::bytea[]) as payload
), moved as (
    update payment p
    set status = i.status,
        provider_ref = case when i.ref = '' then p.provider_ref else i.ref end,
        failure_reason = i.reason,
        captured = case when i.status = 'captured' then p.amount else p.captured end,
        -- the provider has the last word: what it captured was not voided
        void_requested = p.void_requested and i.status <> 'captured',
        version = p.version + 1,
        updated_at = i.at
    from input i
    where p.id = i.id and p.status = any (string_to_array(i.froms, ',')) and (i.status <> 'authorized' or not p.void_requested)
    returning p.id, p.order_id, p.customer_id, p.status, p.method, p.currency, p.amount, p.captured, p.refunded, p.refund_claimed,
        p.provider, p.provider_ref, p.request_hash, p.failure_reason, p.void_requested, p.version, p.created_at, p.updated_at,
        i.event_id, i.subject, i.type, i.metadata, i.payload
), told as (
    insert into outbox (id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload)
    select m.event_id, m.subject, m.type, m.id, m.version, m.updated_at, m.metadata::jsonb, m.payload
    from moved m where m.event_id <> ''
)
select m.id, m.order_id, m.customer_id, m.status, m.method, m.currency, m.amount, m.captured, m.refunded, m.refund_claimed,
    m.provider, m.provider_ref, m.request_hash, m.failure_reason, m.void_requested, m.version, m.created_at, m.updated_at
from moved m;

-- name: ByOrders :many
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where order_id = any (@order_ids::text[]);

-- name: ByID :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = $1;

-- name: ByIDs :many
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = any (@ids::text[]);

-- name: Owned :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = $1 and customer_id = $2;

-- name: LockByID :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = $1 for update;

-- name: LockByOrder :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where order_id = $1 for update;

-- name: Bury :execrows
-- Leaves a tombstone where there is no payment.
insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, void_requested, created_at, updated_at)
values (@id, @order_id, '', 'voided', '', '', 0, '', @request_hash, true, @at, @at)
on conflict (order_id) do nothing;

-- name: RequestVoid :execrows
update payment set void_requested = true, version = version + 1, updated_at = @at
where id = @id and status in ('pending', 'authorized') and not void_requested;

-- name: Touch :exec
update payment set updated_at = @at where id = any (@ids::text[]);

-- name: Open :many
-- Payments whose end has been open since before the time, oldest first.
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment
where status in ('pending', 'authorized') and provider <> '' and updated_at < @before
order by updated_at limit @batch;

-- name: RefundByKey :one
select id, payment_id, idem_key, amount, state from refund where payment_id = $1 and idem_key = $2;

-- name: RefundByID :one
select id, payment_id, idem_key, amount, state from refund where id = $1;

-- name: InsertRefund :exec
insert into refund (id, payment_id, idem_key, amount, state, created_at, updated_at)
values (@id, @payment_id, @idem_key, @amount, 'requested', @at, @at);

-- name: ClaimRefund :execrows
update payment set refund_claimed = refund_claimed + @amount, version = version + 1, updated_at = @at
where id = @id and status in ('captured', 'partially_refunded') and refund_claimed + @amount <= captured;

-- name: EndRefund :execrows
update refund set state = @state, updated_at = @at where id = @id and payment_id = @payment_id and state = 'requested';

-- name: ApplyRefund :execrows
update payment set refunded = refunded + @amount, status = @status, version = version + 1, updated_at = @at
where id = @id and refunded + @amount <= refund_claimed;

-- name: UnclaimRefund :execrows
update payment set refund_claimed = refund_claimed - @amount, version = version + 1, updated_at = @at
where id = @id and refund_claimed - @amount >= refunded;

-- name: OpenRefunds :many
select id, payment_id, idem_key, amount, state from refund
where state = 'requested' and updated_at < @before order by updated_at limit @batch;

-- name: NoteWebhooks :execrows
-- Remembers notices that change nothing. It does not wait for the disk: what an outage takes with it had no effect,
-- and has none when it comes again.
insert into webhook_inbox (provider, event_id, payment_id, body_hash, received_at, processed_at)
select i.provider, i.event_id, i.payment_id, i.body_hash, i.at, i.at
from (select set_config('synchronous_commit', 'off', true)) as relaxed,
     (select unnest(@providers::text[]) as provider, unnest(@event_ids::text[]) as event_id, unnest(@payment_ids::text[]) as payment_id,
             unnest(@body_hashes::bytea[]) as body_hash, unnest(@ats::timestamptz[]) as at) as i
on conflict (provider, event_id) do nothing;

-- name: TakeWebhook :execrows
insert into webhook_inbox (provider, event_id, payment_id, body_hash, received_at, processed_at)
values (@provider, @event_id, @payment_id, @body_hash, @at, @at)
on conflict (provider, event_id) do nothing;
