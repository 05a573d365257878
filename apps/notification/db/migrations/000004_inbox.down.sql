drop table notification;
delete from river_job where queue = 'inbox';
delete from delivery where channel = 'inbox';
alter table delivery
    drop constraint delivery_channel_check,
    add constraint delivery_channel_check check (channel in ('email'));
