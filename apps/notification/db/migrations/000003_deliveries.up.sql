-- A row of mail becomes a notice: what people are told of. What is sent of it, to whom and on which channel, becomes a delivery.
-- River's jobs replace the sender of our own, so those of mails that still wait are inserted here. This renames a table that the
-- previous version uses: its processes wait with their events until they are replaced, and lose nothing.
alter table mail rename to notice;
alter table notice rename column next_at to due_at;
alter table notice rename column sent_at to ended_at;
alter table notice rename constraint mail_pkey to notice_pkey;
alter table notice rename constraint mail_kind_order_id_key to notice_kind_order_id_key;
alter table notice rename constraint mail_about to notice_about;
alter index mail_open rename to notice_open;
drop index mail_due;
drop index mail_split;
alter table notice
    drop constraint mail_kind_check,
    add constraint notice_kind_check check (kind in ('order_confirmed', 'order_cancelled', 'order_shipped', 'order_delivered',
        'new_orders', 'shop_order_cancelled', 'low_stock', 'shop_verified', 'shop_suspended', 'shop_invitation')),
    drop constraint mail_state_check;

-- A delivery holds no address: recipient is whose address is looked up when it is sent. That is a user, an order (the address typed
-- at its checkout) or an invitation.
create table delivery (
    id         text primary key,
    notice_id  text        not null references notice (id) on delete cascade,
    channel    text        not null check (channel in ('email')),
    recipient  text        not null,
    -- skipped: not needed any more, or not wanted
    state      text        not null default 'queued' check (state in ('queued', 'sent', 'failed', 'skipped')),
    attempts   integer     not null default 0,
    -- Without names and addresses.
    last_error text        not null default '',
    created_at timestamptz not null,
    ended_at   timestamptz,
    unique (notice_id, recipient, channel)
);
create index delivery_recipient on delivery (recipient, id);
create index delivery_state on delivery (state, id);

-- The parts of split mails, one for each owner, and mails that had been sent or given up.
insert into delivery (id, notice_id, channel, recipient, state, attempts, last_error, created_at, ended_at)
select id, split_part(about, ':', 1), 'email', user_id, case when state = 'sending' then 'queued' else state end, attempts,
       last_error, created_at, case when state in ('sent', 'failed', 'skipped') then coalesce(ended_at, created_at) end
from notice where user_id is not null
union all
select id, id, 'email', coalesce(order_id, items -> 0 ->> 'order_id', about), state, attempts, last_error, created_at,
       coalesce(ended_at, created_at)
from notice where user_id is null and state in ('sent', 'failed') and coalesce(order_id, items -> 0 ->> 'order_id', about) is not null;

insert into river_job (kind, args, queue, max_attempts, scheduled_at)
select 'delivery', jsonb_build_object('id', id), 'email', 1000, due_at
from notice where user_id is not null and state in ('queued', 'sending')
union all
select 'notice', jsonb_build_object('id', id), 'notice', 1000, due_at
from notice where user_id is null and state in ('queued', 'sending');

delete from notice where user_id is not null;
update notice set state = case state when 'sending' then 'queued' when 'split' then 'done' when 'sent' then 'done' else state end,
                  ended_at = case when state not in ('queued', 'sending') then coalesce(ended_at, created_at) end;
alter table notice
    drop column user_id,
    -- done: its deliveries exist
    add constraint notice_state_check check (state in ('queued', 'done', 'failed', 'skipped'));
create index notice_done on notice (kind, shop_id, ended_at desc) where state = 'done';

alter table recipient_mail rename column mail_id to delivery_id;
