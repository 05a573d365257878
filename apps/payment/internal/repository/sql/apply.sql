-- name: Apply
-- Makes the transitions that the state machine allows. Rows are locked in the order of their IDs, so that two statements
-- cannot deadlock.
-- Arrays that select rows are wrapped in sub-selects, here and in queries.sql, so that the planner cannot see their lengths.
-- Otherwise it would plan each execution again, which takes longer than the statement runs.
with held as (
    select p.id, i.status, i.ref, i.reason, i.at
    from unnest((select $1::text[]), (select $2::text[]), (select $3::text[]), (select $4::text[]), (select $5::text[]), (select $6::timestamptz[]))
        as i (id, status, froms, ref, reason, at)
    join payment p on p.id = i.id
    where p.status = any (string_to_array(i.froms, ',')) and (i.status <> 'authorized' or not p.void_requested)
    order by p.id for update of p
)
update payment p
set status = h.status,
    provider_ref = case when h.ref = '' then p.provider_ref else h.ref end,
    failure_reason = h.reason,
    captured = case when h.status = 'captured' then p.amount - p.waived else p.captured end,
    -- the provider decides: a captured payment was not voided
    void_requested = p.void_requested and h.status <> 'captured',
    version = p.version + 1,
    updated_at = h.at,
    -- an authorization changes no indexed column
    asked_at = case when h.status = 'authorized' then p.asked_at end
from held h
where p.id = h.id
returning p.id, p.order_id, p.customer_id, p.status, p.method, p.currency, p.amount, p.captured, p.refunded, p.refund_claimed, p.waived,
    p.provider, p.provider_ref, p.request_hash, p.failure_reason, p.void_requested, p.version, p.created_at, p.updated_at
