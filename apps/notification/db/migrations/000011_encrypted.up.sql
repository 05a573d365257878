-- Where a device gets messages is encrypted by the service. Its digest finds the device again. A process of the former version
-- writes the columns of before still; the service encrypts these devices, too.
alter table device
    add column sealed       bytea,
    add column token_digest bytea unique,
    alter column token drop not null,
    alter column p256dh set default '',
    alter column auth set default '';
-- Devices that are to be encrypted.
create index device_plain on device (id) where sealed is null;
