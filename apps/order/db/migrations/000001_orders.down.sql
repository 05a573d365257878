drop table order_item;
drop table shop_order;
drop table orders;
