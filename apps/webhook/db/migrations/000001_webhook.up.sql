-- What the webhook service owns.

-- Addresses that get events. shop_id is '' for the webhooks of the marketplace.
create table webhook (
    id              text primary key,
    shop_id         text not null,
    url             text not null check (length(url) <= 2048),
    events          text[] not null check (cardinality(events) > 0),
    status          text not null check (status in ('active', 'disabled')),
    disabled_reason text not null check (disabled_reason in ('', 'manual', 'gone', 'failing')),
    -- The messages that were given up since the last one that was accepted, and the first attempt that failed since then.
    given_up        int not null default 0,
    failing_since   timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    check ((status = 'disabled') = (disabled_reason <> ''))
);
create index webhook_shop on webhook (shop_id, id);

-- The keys of signatures. The current one has no end; earlier ones end a day after their rotation.
create table webhook_secret (
    webhook_id text not null references webhook on delete cascade,
    secret     text not null,
    created_at timestamptz not null,
    ends_at    timestamptz,
    primary key (webhook_id, secret)
);
create unique index webhook_secret_current on webhook_secret (webhook_id) where ends_at is null;

-- The log: each event of each webhook. A round is the attempts until success or the end of retries; each redelivery
-- begins one.
create table delivery (
    id              text primary key,
    webhook_id      text not null references webhook on delete cascade,
    event_id        text not null,
    event           text not null,
    body            text not null,
    status          text not null check (status in ('queued', 'delivered', 'failed')),
    attempts        int not null default 0,
    round           int not null default 1,
    round_attempts  int not null default 0,
    response_status int not null default 0,
    failure         text not null default '',
    created_at      timestamptz not null,
    last_attempt_at timestamptz,
    next_attempt_at timestamptz check ((next_attempt_at is not null) = (status = 'queued')),
    unique (webhook_id, event_id)
);
create index delivery_webhook on delivery (webhook_id, id);
create index delivery_created on delivery (created_at);
