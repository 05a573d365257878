-- The number of attempts of a consumer's handler at an event. JetStream's count of deliveries is no substitute: it
-- also grows while an event waits for the one before it.
create table inbox_attempt (
    consumer   text        not null,
    event_id   text        not null,
    -- the message: a dead letter that is replayed is a new message, and its count starts again
    stream_seq bigint      not null,
    attempts   int         not null,
    tried_at   timestamptz not null default now(),
    primary key (consumer, event_id)
);
