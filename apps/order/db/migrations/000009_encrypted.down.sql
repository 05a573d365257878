-- Encrypted addresses are lost to the former version, which shows them empty.
drop index orders_plain;
alter table orders
    drop column private,
    alter column email drop default,
    alter column shipping_address drop default;
