-- The sandbox provider keeps its own books, as another company would: payment's tables do not join them.
-- A database of an earlier release has these tables: they were payment's. They are kept.
create schema if not exists sandbox;

create table if not exists sandbox.charge (
    -- the merchant's idempotency key: the payment's ID
    key        text        not null,
    -- tombstone: voided before it was authorized
    status     text        not null,
    currency   text        not null,
    amount     bigint      not null,
    captured   bigint      not null default 0,
    refunded   bigint      not null default 0,
    reason     text        not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint charge_pkey primary key (key),
    constraint charge_status check (status in ('authorized', 'captured', 'declined', 'voided', 'tombstone')),
    constraint charge_amounts check (amount >= 0 and captured between 0 and amount and refunded between 0 and captured)
) with (fillfactor = 80);

create table if not exists sandbox.refund (
    key        text        not null,
    charge_key text        not null,
    amount     bigint      not null,
    created_at timestamptz not null default now(),
    constraint refund_pkey primary key (key),
    constraint refund_amount check (amount > 0)
);

-- Double entry: the entries of each movement sum to zero in each currency, and so do all entries.
create table if not exists sandbox.ledger_entry (
    -- the movement: capture or refund
    kind       text        not null,
    -- the charge's key, or the refund's
    key        text        not null,
    account    text        not null,
    currency   text        not null,
    amount     bigint      not null,
    created_at timestamptz not null default now(),
    -- a capture or refund is booked once, whatever fails around it
    constraint ledger_entry_pkey primary key (key, kind, account),
    constraint ledger_entry_account check (account in ('customer', 'merchant')),
    constraint ledger_entry_kind check (kind in ('capture', 'refund'))
);

-- Calls that the sandbox misanswered as their token asked: an error before any effect, a lost answer.
create table if not exists sandbox.call (
    key     text        not null,
    op      text        not null,
    outcome text        not null,
    at      timestamptz not null default now(),
    -- a token misbehaves once per charge
    constraint call_pkey primary key (key, op, outcome)
);

-- Webhooks to deliver, at least once.
create table if not exists sandbox.webhook (
    id              text        not null,
    body            bytea       not null,
    attempts        integer     not null default 0,
    next_attempt_at timestamptz not null default now(),
    delivered_at    timestamptz,
    -- when the last attempt failed
    dropped_at      timestamptz,
    created_at      timestamptz not null default now(),
    constraint webhook_pkey primary key (id)
);
create index if not exists webhook_due on sandbox.webhook (next_attempt_at) where delivered_at is null and dropped_at is null;

-- Indexes that find the rows to delete by age.
create index if not exists call_at on sandbox.call (at);
-- Dropped webhooks, or webhooks that an earlier release delivered and kept. A delivered webhook is deleted at once.
create index if not exists webhook_ended on sandbox.webhook (coalesce(delivered_at, dropped_at)) where delivered_at is not null or dropped_at is not null;
