-- The payment of each order. A tombstone (a void that came before its authorization) has no method and no amount.
create table payment (
    id             text        not null,
    order_id       text        not null,
    customer_id    text        not null,
    status         text        not null,
    method         text        not null,
    currency       text        not null,
    -- minor units of the currency
    amount         bigint      not null,
    captured       bigint      not null default 0,
    refunded       bigint      not null default 0,
    -- sum of the refunds that are requested or done
    refund_claimed bigint      not null default 0,
    provider       text        not null,
    provider_ref   text        not null default '',
    -- hash of the request, token included
    request_hash   bytea       not null,
    failure_reason text        not null default '',
    -- a void was requested: nothing may be captured any more
    void_requested boolean     not null default false,
    version        bigint      not null default 1,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    constraint payment_pkey primary key (id),
    constraint payment_order unique (order_id),
    constraint payment_status check (status in
        ('pending', 'authorized', 'captured', 'failed', 'voided', 'partially_refunded', 'refunded')),
    constraint payment_amounts check (amount >= 0 and captured between 0 and amount
        and refund_claimed between 0 and captured and refunded between 0 and refund_claimed)
) with (fillfactor = 80);

-- The reconciler's queue: payments with an open outcome.
create index payment_open on payment (updated_at) where status in ('pending', 'authorized') and provider <> '';

create table refund (
    id         text        not null,
    payment_id text        not null references payment (id),
    idem_key   text        not null,
    amount     bigint      not null,
    -- requested: the provider has not answered; done; refused: by the provider
    state      text        not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint refund_pkey primary key (id),
    constraint refund_key unique (payment_id, idem_key),
    constraint refund_amount check (amount > 0),
    constraint refund_state check (state in ('requested', 'done', 'refused'))
);
create index refund_open on refund (updated_at) where state = 'requested';

-- The events of payment providers, once each.
create table webhook_inbox (
    provider     text        not null,
    event_id     text        not null,
    payment_id   text        not null,
    body_hash    bytea       not null,
    received_at  timestamptz not null,
    processed_at timestamptz not null,
    constraint webhook_inbox_pkey primary key (provider, event_id)
);
