alter table orders drop column cart_version;
alter table orders drop column cart_owner_id;
drop table cart_claim;
