-- Waits for a transaction that redeems or releases vouchers for the same order.
insert into redemption (order_id, customer_id, mailbox, state, updated_at) values ($1, $2, $3, $4, $5)
on conflict (order_id) do nothing
