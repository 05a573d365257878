-- API keys: with them, systems of a shop call souk.
create table api_key (
    id              text primary key,
    shop_id         text not null references shop (id) on delete cascade,
    name            text not null,
    -- the beginning of the secret, which is shown
    prefix          text not null,
    -- SHA-256 of the secret
    hash            bytea not null unique,
    -- that of the secret before the last rotation, which is valid until a time; both or none
    old_hash        bytea unique,
    old_until       timestamptz,
    scopes          text[] not null,
    -- networks from which it may be used; '{}': from everywhere
    addresses       text[] not null default '{}',
    -- 0: as many requests as a person
    rate_per_minute int not null default 0,
    -- the owner who created it or rotated it last: it can do no more than this user
    created_by      text not null,
    created_at      timestamptz not null,
    expires_at      timestamptz,
    last_used_at    timestamptz,
    check ((old_hash is null) = (old_until is null))
);
create index api_key_shop on api_key (shop_id, created_at desc, id desc);
