-- name: ByOrders :many
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed, waived,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where order_id = any ((select @order_ids::text[])::text[]);

-- name: ByID :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed, waived,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = $1;

-- name: ByIDs :many
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed, waived,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = any ((select @ids::text[])::text[]);

-- name: Owned :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed, waived,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = $1 and customer_id = $2;

-- name: LockByID :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed, waived,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where id = $1 for update;

-- name: LockByOrder :one
select id, order_id, customer_id, status, method, currency, amount, captured, refunded, refund_claimed, waived,
    provider, provider_ref, request_hash, failure_reason, void_requested, version, created_at, updated_at
from payment where order_id = $1 for update;

-- name: Bury :execrows
-- Inserts a tombstone unless the order has a payment.
insert into payment (id, order_id, customer_id, status, method, currency, amount, provider, request_hash, void_requested, created_at, updated_at, asked_at)
values (@id, @order_id, '', 'voided', '', '', 0, '', @request_hash, true, @at, @at, null)
on conflict (order_id) do nothing;

-- name: RequestVoid :execrows
update payment set void_requested = true, version = version + 1, updated_at = @at, asked_at = @at
where id = @id and status in ('pending', 'authorized') and not void_requested;

-- name: AskOpen :many
-- Returns payments with an open outcome whose provider was last asked before the given time, the longest waiting
-- first, and moves them to the end of the queue: a payment that fails again lets others go first.
with due as (
    select d.id from payment d where d.asked_at < @before::timestamptz order by d.asked_at limit @batch for update skip locked
), asked as (
    update payment p
    set asked_at = case when p.status in ('pending', 'authorized') and p.provider <> '' then @at::timestamptz end
    from due where p.id = due.id
    returning p.id, p.order_id, p.customer_id, p.status, p.method, p.currency, p.amount, p.captured, p.refunded, p.refund_claimed, p.waived,
        p.provider, p.provider_ref, p.request_hash, p.failure_reason, p.void_requested, p.version, p.created_at, p.updated_at, p.asked_at
)
select a.id, a.order_id, a.customer_id, a.status, a.method, a.currency, a.amount, a.captured, a.refunded, a.refund_claimed, a.waived,
    a.provider, a.provider_ref, a.request_hash, a.failure_reason, a.void_requested, a.version, a.created_at, a.updated_at
from asked a where a.asked_at is not null;

-- name: RefundByKey :one
select id, payment_id, idem_key, amount, state from refund where payment_id = $1 and idem_key = $2;

-- name: RefundByID :one
select id, payment_id, idem_key, amount, state from refund where id = $1;

-- name: InsertRefund :exec
insert into refund (id, payment_id, idem_key, amount, state, created_at, updated_at)
values (@id, @payment_id, @idem_key, @amount, 'requested', @at, @at);

-- name: InsertWaiver :exec
insert into refund (id, payment_id, idem_key, amount, state, created_at, updated_at)
values (@id, @payment_id, @idem_key, @amount, 'waived', @at, @at);

-- name: Waive :execrows
-- Gives up cash that was not collected. A payment of which nothing is left is voided.
update payment set waived = waived + @amount,
    status = case when waived + @amount = amount then 'voided' else status end, version = version + 1, updated_at = @at
where id = @id and status = 'authorized' and provider = '' and waived + @amount <= amount;

-- name: ClaimRefund :execrows
update payment set refund_claimed = refund_claimed + @amount, version = version + 1, updated_at = @at
where id = @id and status in ('captured', 'partially_refunded') and refund_claimed + @amount <= captured;

-- name: Adopt :exec
update payment set customer_id = @user_id
where id in (
    select p.id from payment p where p.order_id = any ((select @order_ids::text[])::text[]) and p.customer_id = @guest_id
    order by p.id for update);

-- name: ReopenRefund :exec
update refund set state = 'requested', updated_at = @at where id = @id and state = 'refused';

-- name: EndRefund :execrows
update refund set state = @state, updated_at = @at where id = @id and payment_id = @payment_id and state = 'requested';

-- name: ApplyRefund :execrows
update payment set refunded = refunded + @amount, status = @status, version = version + 1, updated_at = @at
where id = @id and refunded + @amount <= refund_claimed;

-- name: UnclaimRefund :execrows
update payment set refund_claimed = refund_claimed - @amount, version = version + 1, updated_at = @at
where id = @id and refund_claimed - @amount >= refunded;

-- name: AskOpenRefunds :many
-- The same for refunds. updated_at is the queue: an open refund changes only by being asked about.
with due as (
    select d.id from refund d
    where d.state = 'requested' and d.updated_at < @before
    order by d.updated_at limit @batch for update skip locked
)
update refund r set updated_at = @at
from due where r.id = due.id
returning r.id, r.payment_id, r.idem_key, r.amount, r.state;

-- name: NoteWebhooks :execrows
-- Records notices that change nothing. It does not wait for the disk: a notice lost in a crash had no effect, and has
-- none when it arrives again.
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

-- name: ForgetWebhooks :execrows
with old as (
    select o.provider, o.event_id from webhook_inbox o
    where o.received_at < @before order by o.received_at limit @most for update skip locked
)
delete from webhook_inbox w using old where w.provider = old.provider and w.event_id = old.event_id;

-- name: ForgetRefused :execrows
-- Deletes payments with IDs in a range that never held any money in the end, and tombstones. Refunds, and cash that was waived,
-- belong to orders that were confirmed.
delete from payment
where id in (
    select p.id from payment p
    where p.id >= @first::text and p.id < @before::text and p.status in ('failed', 'voided') and p.captured = 0 and p.waived = 0
      and not exists (select from refund r where r.payment_id = p.id)
    order by p.id limit @most for update skip locked);
