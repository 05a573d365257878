alter table orders drop constraint orders_total;
alter table orders add constraint orders_total check (subtotal >= 0 and discount >= 0 and shipping >= 0 and tax >= 0
    and total = subtotal - discount + shipping + tax and (total > 0 or status = 'cancelled')) not valid;
alter table shop_order drop column shipping_discounts;
alter table order_item drop column discount, drop column discounts;
