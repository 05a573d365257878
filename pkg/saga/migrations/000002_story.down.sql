drop table saga_step;
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
