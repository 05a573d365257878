create table saga (
    id             text        not null,
    type           text        not null,
    def_version    integer     not null,
    -- json, not jsonb: it is returned byte for byte, and a string may contain \u0000
    input          json        not null,
    results        json        not null default '{}',
    state          text        not null,
    -- the state that a parked saga returns to
    parked_from    text        null,
    -- running: the next step to do; compensating: the next step to undo
    step           integer     not null default 0,
    epoch          bigint      not null,
    -- the process that holds the lease, as name#incarnation, or ''
    owner          text        not null,
    lease_until    timestamptz not null,
    next_run_at    timestamptz not null,
    deadline       timestamptz not null,
    attempts       integer     not null default 0,
    last_error     text        not null default '',
    -- why the saga was compensated or parked, as shown to the caller
    error_code     text        not null default '',
    error_message  text        not null default '',
    error_retry_ms bigint      not null default 0,
    error_fields   json        null,
    traceparent    text        not null default '',
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    ended_at       timestamptz null,
    constraint saga_pkey primary key (id),
    constraint saga_state check (state in ('running', 'compensating', 'done', 'compensated', 'parked')),
    constraint saga_parked check ((state = 'parked') = (parked_from is not null)),
    constraint saga_ended check ((state in ('done', 'compensated')) = (ended_at is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- for claiming: it contains few rows, however many sagas have ended
create index saga_lease on saga (lease_until) where state in ('running', 'compensating');
create index saga_parked_type on saga (type, created_at) where state = 'parked';
-- sagas end roughly in the order in which their rows are stored, so the clean-up finds them with a few bytes per page
create index saga_ended_at on saga using brin (ended_at) with (pages_per_range = 32);

-- The history of a saga, for operators. It is written with the saga's checkpoints and never read by the runner.
-- It has no foreign key, whose check would cost more than the row.
create table saga_step (
    saga_id     text        not null,
    n           integer     not null,
    epoch       bigint      not null,
    kind        text        not null,
    name        text        not null,
    idem_key    text        not null,
    state       text        not null,
    attempts    integer     not null,
    code        text        not null,
    error       text        not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null
);
create index saga_step_saga on saga_step (saga_id);

-- Called in the transaction of a write. If a row did not match, it raises an error, which rolls back the transaction.
create function souk_saga_fence(written boolean, p_id text, p_epoch bigint, p_owner text) returns boolean
language plpgsql as $$
begin
    if written then
        return true;
    end if;
    if exists (select from saga where id = p_id and epoch = p_epoch and owner = p_owner) then
        raise exception 'saga % has this step behind it', p_id using errcode = 'SK002';
    end if;
    raise exception 'saga % has another owner', p_id using errcode = 'SK001';
end
$$;

-- For statements in a step's batch. If the condition does not hold, it refuses the step with one of souk's error codes.
create function souk_saga_require(holds boolean, p_code text, p_message text) returns boolean
language plpgsql as $$
begin
    if holds then
        return true;
    end if;
    raise exception '%', p_message using errcode = 'SK003', detail = p_code;
end
$$;
