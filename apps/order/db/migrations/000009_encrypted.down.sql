-- What is encrypted cannot be given to the former version: this migration is for a database without any.
do $$ begin
    if exists (select from orders where private is not null) then
        raise exception 'there are encrypted rows: they would be lost';
    end if;
end $$;
drop index orders_adopted, orders_plain;
alter table orders
    drop column private,
    alter column email drop default,
    alter column shipping_address drop default;
