-- Encrypted devices are lost to the former version: they register again.
drop index device_plain;
delete from device where token is null;
alter table device
    drop column sealed,
    drop column token_digest,
    alter column token set not null,
    alter column p256dh drop default,
    alter column auth drop default;
