-- What this service has to tell. seq orders the events of one aggregate; it is no order of commits.
create table outbox (
    seq               bigint generated always as identity primary key,
    id                text        not null unique check (id <> ''),
    subject           text        not null check (subject like 'evt.%'),
    type              text        not null check (type <> ''),
    aggregate_id      text        not null check (aggregate_id <> ''),
    aggregate_version bigint      not null default 0,
    occurred_at       timestamptz not null,
    metadata          jsonb       not null default '{}',
    payload           bytea       not null check (octet_length(payload) <= 524288),
    created_at        timestamptz not null default now(),
    sent_at           timestamptz
);

create index outbox_pending on outbox (seq) where sent_at is null;
create index outbox_created on outbox using brin (created_at) with (pages_per_range = 32);

-- The pending index is small and churns: keep its dead entries few.
alter table outbox set (autovacuum_vacuum_scale_factor = 0.02);

-- There is no trigger that notifies, on purpose: a NOTIFY takes a server-wide lock until its transaction
-- has committed, so it undoes group commit. The package comment says what was measured.

-- Which events this service's consumers have taken in.
create table inbox (
    consumer     text        not null,
    event_id     text        not null,
    processed_at timestamptz not null default now(),
    primary key (consumer, event_id)
);

create index inbox_processed on inbox using brin (processed_at) with (pages_per_range = 32);
