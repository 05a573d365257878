drop index orders_expiry;
alter table orders drop column expires_at, drop column customer_cancelled_at;
alter table shop_order drop column cancelled_at, drop column cancel_reason, drop column cancel_code, drop column cancel_id;
