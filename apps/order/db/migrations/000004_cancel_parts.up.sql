-- Shop orders are cancelled on their own.
alter table shop_order
    -- the saga that cancels or cancelled it; '' if none does
    add column cancel_id text not null default '',
    -- who cancels it: customer, shop, operator or expired
    add column cancel_code text not null default '',
    add column cancel_reason text not null default '',
    -- null if it was not cancelled, or if its checkout was refused
    add column cancelled_at timestamptz;
-- What is being cancelled is not shipped, whatever process tries to.
alter table shop_order add constraint shop_order_cancel check (cancel_id = '' or status in ('confirmed', 'cancelled')) not valid;
alter table shop_order validate constraint shop_order_cancel;
alter table orders
    -- when its customer last cancelled some of it; null if never
    add column customer_cancelled_at timestamptz,
    -- when what is not shipped is cancelled, because the order waits for its money; null if it does not wait
    add column expires_at timestamptz;
create index orders_expiry on orders (expires_at) where expires_at is not null;
update orders set expires_at = now() + interval '7 days' where payment_method = 'cod' and status = 'confirmed';
