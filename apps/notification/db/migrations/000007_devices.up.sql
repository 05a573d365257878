alter table delivery
    drop constraint delivery_channel_check,
    add constraint delivery_channel_check check (channel in ('email', 'inbox', 'sms', 'push'));

-- Where users get push messages. A token is that of one device, whoever uses it.
create table device (
    id         text primary key,
    user_id    text        not null,
    kind       text        not null check (kind in ('webpush', 'fcm')),
    token      text        not null unique,
    p256dh     text        not null,
    auth       text        not null,
    created_at timestamptz not null
);
create index device_user on device (user_id, id);
