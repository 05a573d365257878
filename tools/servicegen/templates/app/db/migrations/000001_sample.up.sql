-- What the sample service owns.
-- servicegen:each

create table gadgets (
    id          text primary key,
    owner_id    text not null,
    name        text not null check (name <> ''),
    description text not null,
    version     bigint not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null
);

-- A page of a user's gadgets begins after an ID.
create index gadgets_owner on gadgets (owner_id, id);
-- servicegen:end
