-- What vouchers took off: an array of objects with voucher_id, code, title, reason, amount and operator_amount.
alter table order_item
    add column discount bigint not null default 0,
    add column discounts jsonb not null default '[]';
alter table order_item add constraint order_item_discount check (discount between 0 and line_total) not valid;
alter table order_item validate constraint order_item_discount;
alter table shop_order
    -- what vouchers took off the shipping, which is stored without it
    add column shipping_discounts jsonb not null default '[]';
-- Vouchers may pay for a whole order, which then needs no payment.
alter table orders drop constraint orders_total;
alter table orders add constraint orders_total check (subtotal >= 0 and discount >= 0 and shipping >= 0 and tax >= 0
    and total = subtotal - discount + shipping + tax and total >= 0) not valid;
alter table orders validate constraint orders_total;
