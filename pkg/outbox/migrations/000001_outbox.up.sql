-- The events of this service. seq orders the events of one aggregate; it is not the order of commits.
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

-- The pending index is small and changes often: vacuum early, to keep its dead entries few.
alter table outbox set (autovacuum_vacuum_scale_factor = 0.02);

-- There is deliberately no trigger that notifies: a NOTIFY takes a server-wide lock until its transaction
-- has committed, which prevents group commit. The package comment has measurements.

-- The events that this service's consumers have handled.
create table inbox (
    consumer     text        not null,
    event_id     text        not null,
    processed_at timestamptz not null default now(),
    primary key (consumer, event_id)
);

create index inbox_processed on inbox using brin (processed_at) with (pages_per_range = 32);
