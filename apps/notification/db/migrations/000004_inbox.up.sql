alter table delivery
    drop constraint delivery_channel_check,
    add constraint delivery_channel_check check (channel in ('email', 'inbox'));

-- Entries of users' inboxes. The texts hold no names of persons and no addresses.
create table notification (
    id          text primary key,
    user_id     text        not null,
    delivery_id text        not null unique,
    kind        text        not null,
    title       text        not null,
    body        text        not null,
    link        text        not null,
    created_at  timestamptz not null,
    read_at     timestamptz
);
create index notification_inbox on notification (user_id, id);
create index notification_unread on notification (user_id) where read_at is null;
create index notification_created on notification (created_at);
