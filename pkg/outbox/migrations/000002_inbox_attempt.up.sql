-- How often a consumer's handler failed with an event. JetStream's count of deliveries says less: it goes up, too,
-- while an event waits for the one before it.
create table inbox_attempt (
    consumer   text        not null,
    event_id   text        not null,
    -- which message it was: a dead letter that is replayed is another one, and counts anew
    stream_seq bigint      not null,
    attempts   int         not null,
    tried_at   timestamptz not null default now(),
    primary key (consumer, event_id)
);
