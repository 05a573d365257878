create table mail (
    id          text primary key,
    kind        text        not null check (kind in ('order_confirmed', 'order_cancelled')),
    order_id    text        not null,
    state       text        not null default 'queued' check (state in ('queued', 'sending', 'sent', 'failed')),
    attempts    integer     not null default 0,
    -- queued: when the mail is due. sending: when its claim ends.
    next_at     timestamptz not null,
    -- Without names and addresses.
    last_error  text        not null default '',
    -- W3C trace context of the event.
    traceparent text        not null default '',
    created_at  timestamptz not null,
    sent_at     timestamptz,
    unique (kind, order_id)
);

create index mail_due on mail (next_at) where state in ('queued', 'sending');
