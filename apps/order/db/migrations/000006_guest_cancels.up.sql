-- The orders that guests cancelled, by the mailbox that they gave: anybody can be any number of guests. A row is deleted
-- after a day.
create table guest_cancel (
    -- a digest: see pkg/mailbox
    mailbox      bytea       not null,
    order_id     text        not null,
    cancelled_at timestamptz not null,
    constraint guest_cancel_pkey primary key (mailbox, order_id)
);
create index guest_cancel_age on guest_cancel (cancelled_at);
