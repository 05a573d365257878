-- The customer's e-mail address and the address of the delivery, encrypted by the service. The columns email and
-- shipping_address are empty then. A process of the former version writes them still; the service encrypts these, too.
alter table orders
    add column private bytea,
    alter column email set default '',
    alter column shipping_address set default '{}';
-- Orders of guests that users have adopted.
create index orders_adopted on orders (cart_owner_id) where customer_id <> cart_owner_id;
-- Orders that are to be encrypted.
create index orders_plain on orders (id) where shipping_address <> '{}';
