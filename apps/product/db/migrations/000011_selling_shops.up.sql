-- Whether a shop sells follows from its status. A verified one does, a suspended one does not.
alter table shop_ref
    -- the setting unverified_shops_sell, as the service applied it last
    add column unverified_sells boolean not null default false,
    -- shops that sold unverified before there was that setting keep selling
    add column sold_unverified boolean not null default false;
update shop_ref set sold_unverified = true where status = 'unverified';
alter table shop_ref add column sells boolean not null
    generated always as (status = 'active' or status = 'unverified' and (unverified_sells or sold_unverified)) stored;
