drop index notice_ended;
delete from notice where kind = 'payment_refunded';
alter table notice
    drop constraint notice_kind_check,
    add constraint notice_kind_check check (kind in ('order_confirmed', 'order_cancelled', 'order_shipped', 'order_delivered',
        'new_orders', 'shop_order_cancelled', 'low_stock', 'shop_verified', 'shop_suspended', 'shop_invitation'));
