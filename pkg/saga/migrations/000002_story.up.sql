-- The story of a saga goes in one row a write, not in one a step: it is written with every checkpoint and read by people alone.
drop table saga_step;
create table saga_step (
    saga_id text   not null,
    epoch   bigint not null,
    -- what was tried since the write before, in order: see record in store.go
    steps   json   not null
);
create index saga_step_saga on saga_step (saga_id);
