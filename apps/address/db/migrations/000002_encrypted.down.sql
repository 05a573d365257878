-- What is encrypted cannot be given to the former version: this migration is for a database without any.
do $$ begin
    if exists (select from address where sealed is not null) then
        raise exception 'there are encrypted rows: they would be lost';
    end if;
end $$;
drop index address_plain;
alter table address
    drop column sealed,
    add check (country_code ~ '^[A-Z]{2}$') not valid,
    alter column label drop default,
    alter column name drop default,
    alter column line1 drop default,
    alter column line2 drop default,
    alter column city drop default,
    alter column region drop default,
    alter column postal_code drop default,
    alter column country_code drop default,
    alter column phone drop default;
