drop table variant;
drop table product;
drop table shop_ref;
drop table category;
