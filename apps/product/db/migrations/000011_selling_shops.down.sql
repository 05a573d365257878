alter table shop_ref drop column sells;
alter table shop_ref drop column sold_unverified, drop column unverified_sells;
