-- Shops and their members.
create table shop (
    id           text primary key,
    handle       text not null unique,
    name         text not null,
    description  text not null default '',
    logo_url     text not null default '',
    city         text not null default '',
    region       text not null default '',
    country_code text not null default '',
    status       text not null default 'unverified' check (status in ('unverified', 'active', 'suspended')),
    version      bigint not null default 1,
    created_at   timestamptz not null,
    updated_at   timestamptz not null
);

-- Lists are ordered by name. A page continues after (name, id).
create index shop_listed on shop (lower(name), id) where status <> 'suspended';
-- Search matches the beginnings of words.
create index shop_words on shop using gin (to_tsvector('simple', name)) where status <> 'suspended';

create table member (
    shop_id    text not null references shop (id) on delete cascade,
    user_id    text not null,
    role       text not null check (role in ('owner', 'staff')),
    created_at timestamptz not null,
    primary key (shop_id, user_id)
);

create index member_user on member (user_id, shop_id);
