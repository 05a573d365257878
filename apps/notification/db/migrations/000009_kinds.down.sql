-- The previous version knows no other kinds.
delete from notice where kind not in ('order_confirmed', 'order_cancelled', 'order_shipped', 'order_delivered', 'new_orders',
    'shop_order_cancelled', 'low_stock', 'shop_verified', 'shop_suspended', 'shop_invitation', 'payment_refunded');
alter table notice add constraint notice_kind_check check (kind in ('order_confirmed', 'order_cancelled', 'order_shipped',
    'order_delivered', 'new_orders', 'shop_order_cancelled', 'low_stock', 'shop_verified', 'shop_suspended', 'shop_invitation',
    'payment_refunded'));
