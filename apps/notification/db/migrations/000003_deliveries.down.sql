alter table recipient_mail rename column delivery_id to mail_id;
delete from river_job where kind in ('notice', 'delivery');
drop index notice_done;
alter table notice drop constraint notice_state_check, drop constraint notice_kind_check, add column user_id text;
delete from notice where kind = 'shop_order_cancelled';
-- A notice whose deliveries are not all sent is split into those.
update notice n set state = case
    when n.state <> 'done' then n.state
    when n.shop_id is not null or not exists (select from delivery d where d.notice_id = n.id) then 'split'
    else coalesce((select d.state from delivery d where d.notice_id = n.id order by d.id limit 1), 'sent') end;
insert into notice (id, kind, about, shop_id, user_id, items, state, attempts, due_at, last_error, traceparent, created_at, ended_at)
select d.id, n.kind, n.id || ':' || d.recipient, n.shop_id, d.recipient, n.items, d.state, d.attempts, d.created_at, d.last_error,
       n.traceparent, d.created_at, d.ended_at
from delivery d join notice n on n.id = d.notice_id
where n.state = 'split' and d.id <> n.id;
drop table delivery;
alter table notice rename column due_at to next_at;
alter table notice rename column ended_at to sent_at;
alter table notice
    add constraint mail_kind_check check (kind in ('order_confirmed', 'order_cancelled', 'order_shipped', 'order_delivered',
        'new_orders', 'low_stock', 'shop_verified', 'shop_suspended', 'shop_invitation')),
    add constraint mail_state_check check (state in ('queued', 'sending', 'sent', 'failed', 'split', 'skipped'));
alter table notice rename constraint notice_pkey to mail_pkey;
alter table notice rename constraint notice_kind_order_id_key to mail_kind_order_id_key;
alter table notice rename constraint notice_about to mail_about;
alter index notice_open rename to mail_open;
alter table notice rename to mail;
create index mail_due on mail (next_at) where state in ('queued', 'sending');
create index mail_split on mail (kind, shop_id, sent_at desc) where state = 'split';
