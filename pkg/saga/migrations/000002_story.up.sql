-- The history of a saga is stored in one row per write, not per step, because it is written with every checkpoint and only
-- read by people. The table saga_step is for processes of the previous release. The next release drops it.
create table saga_story (
    saga_id text   not null,
    epoch   bigint not null,
    -- the attempts since the previous write, in order: see record in store.go
    steps   json   not null
);
create index saga_story_saga on saga_story (saga_id);
