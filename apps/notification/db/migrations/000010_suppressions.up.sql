-- Mailboxes that get no mails until expires_at, because they refused one, or because an operator said so.
create table suppression (
    id         text primary key,
    -- keyed digest of the address
    mailbox    bytea       not null unique,
    -- bounce or operator
    source     text        not null,
    -- Without names and addresses.
    reason     text        not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index suppression_expires on suppression (expires_at);
