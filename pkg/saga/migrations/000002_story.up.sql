-- The story of a saga goes in one row a write, not in one a step: it is written with every checkpoint and read by people
-- alone. The table saga_step is for processes of the release before, and goes with the next one.
create table saga_story (
    saga_id text   not null,
    epoch   bigint not null,
    -- what was tried since the write before, in order: see record in store.go
    steps   json   not null
);
create index saga_story_saga on saga_story (saga_id);
