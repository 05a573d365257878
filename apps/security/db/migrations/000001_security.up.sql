-- Counts of what looks like an attack, and the security events that detectors found in them.

-- How often something was observed about a subject in a minute.
create table tally (
    kind    text not null,
    slot    timestamptz not null,
    subject text not null,
    n       bigint not null check (n > 0),
    primary key (kind, slot, subject)
);

-- How often something was observed in the whole marketplace in ten minutes.
create table total (
    kind text not null,
    slot timestamptz not null,
    n    bigint not null check (n > 0),
    primary key (kind, slot)
);

-- The reports that were counted, so that each counts once.
create table report (
    id text primary key,
    at timestamptz not null
);
create index report_at on report (at);

-- The country from which a user sent the latest request.
create table sighting (
    user_id text primary key,
    country text not null,
    at      timestamptz not null
);
create index sighting_at on sighting (at);

create table event (
    id              text primary key,
    kind            text not null,
    subject         text not null,
    n               bigint not null,
    threshold       bigint not null,
    window_seconds  integer not null,
    countries       text[] not null,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    version         bigint not null,
    acknowledged_at timestamptz,
    acknowledged_by text not null,
    note            text not null
);
create index event_latest on event (kind, subject, last_at);
create index event_subject on event (subject, id);
create index event_first_at on event (kind, first_at);
create index event_last_at on event (last_at);
create index event_open on event (kind, id) where acknowledged_at is null;
