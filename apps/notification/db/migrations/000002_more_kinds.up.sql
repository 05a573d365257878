-- Mails besides those about whole orders: to shops, to invited persons, and about shop orders.
alter table mail
    drop constraint mail_kind_check,
    add constraint mail_kind_check check (kind in ('order_confirmed', 'order_cancelled', 'order_shipped', 'order_delivered',
        'new_orders', 'low_stock', 'shop_verified', 'shop_suspended', 'shop_invitation')),
    -- split: replaced by a mail for each owner of the shop. skipped: not needed any more.
    drop constraint mail_state_check,
    add constraint mail_state_check check (state in ('queued', 'sending', 'sent', 'failed', 'split', 'skipped')),
    -- only of mails about whole orders
    alter column order_id drop not null,
    -- What other mails are about: a shop order, a shop and its version, an invitation, or the mail that was split. Null in a
    -- list of new orders or low stock.
    add column about text,
    add column shop_id text,
    -- the owner that a part of a split mail goes to
    add column user_id text,
    -- what a mail lists; see domain.Item
    add column items jsonb not null default '[]',
    -- whether more may be added to items
    add column open boolean not null default false,
    add constraint mail_about unique (kind, about);
create unique index mail_open on mail (kind, shop_id) where open;
create index mail_split on mail (kind, shop_id, sent_at desc) where state = 'split';

-- Which mails were sent to a recipient in the last hour. The recipient is a digest of the address.
create table recipient_mail (
    mail_id   text primary key,
    recipient bytea       not null,
    at        timestamptz not null
);
create index recipient_mail_recent on recipient_mail (recipient, at);
create index recipient_mail_at on recipient_mail (at);
