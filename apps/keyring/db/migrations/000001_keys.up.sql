-- What the keyring service owns.

-- The key of one person's data in one service, wrapped by a key that is not in the database.
create table data_key (
    owner      text not null,
    service    text not null,
    wrapped    bytea not null,
    -- Fingerprint of the wrapping key.
    wrapped_by text not null,
    created_at timestamptz not null,
    primary key (owner, service)
);

-- Finds keys that are to be wrapped again.
create index data_key_wrapped_by on data_key (wrapped_by);

-- People whose data was erased. They get no keys any more, except in the services that keep theirs.
create table erased (
    owner     text primary key,
    kept      text[] not null,
    erased_at timestamptz not null
);

-- Guests who have signed in: their data is the user's.
create table merged (
    guest_id text not null,
    user_id  text not null,
    primary key (guest_id, user_id)
);
create index merged_user on merged (user_id);

-- Reports whether an owner gets no keys in a service any more: the data was erased, or that of every user whom the guest became.
create function is_destroyed(owner text, service text) returns boolean language sql stable as $$
    select exists (select from erased e where e.owner = $1 and $2 <> all (e.kept))
        or (select bool_and(e.owner is not null)
            from merged m left join erased e on e.owner = m.user_id and $2 <> all (e.kept)
            where m.guest_id = $1) is true
$$;
