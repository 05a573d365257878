drop table recipient_mail;
delete from mail where kind not in ('order_confirmed', 'order_cancelled');
update mail set state = 'failed' where state in ('split', 'skipped');
alter table mail
    drop constraint mail_kind_check,
    add constraint mail_kind_check check (kind in ('order_confirmed', 'order_cancelled')),
    drop constraint mail_state_check,
    add constraint mail_state_check check (state in ('queued', 'sending', 'sent', 'failed')),
    alter column order_id set not null,
    drop column about,
    drop column shop_id,
    drop column user_id,
    drop column items,
    drop column open;
