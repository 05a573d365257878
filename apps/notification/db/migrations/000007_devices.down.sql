drop table device;
delete from river_job where queue in ('sms', 'push');
delete from delivery where channel in ('sms', 'push');
alter table delivery
    drop constraint delivery_channel_check,
    add constraint delivery_channel_check check (channel in ('email', 'inbox'));
