-- What an address says is encrypted by the service, as one value. The columns of before are empty then. A process of the
-- former version writes them still; the service encrypts these addresses, too.
alter table address
    add column sealed bytea,
    drop constraint address_country_code_check,
    alter column label set default '',
    alter column name set default '',
    alter column line1 set default '',
    alter column line2 set default '',
    alter column city set default '',
    alter column region set default '',
    alter column postal_code set default '',
    alter column country_code set default '',
    alter column phone set default '';
-- Addresses that are to be encrypted.
create index address_plain on address (id) where sealed is null;
