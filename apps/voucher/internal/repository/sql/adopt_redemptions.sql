-- Makes the uses of a guest's orders those of a user. Counters are not checked against limits: the orders are placed.
with adopted as (
    update redemption set customer_id = $2 where order_id = any ($3::text[]) and customer_id = $1
    returning order_id, state
), uses as (
    select u.voucher_id, count(*) as n
    from adopted a join redemption_voucher u on u.order_id = a.order_id where a.state = 'redeemed' group by u.voucher_id
), taken as (
    update voucher_customer c set uses = c.uses - u.n from uses u where c.voucher_id = u.voucher_id and c.customer = $1
)
insert into voucher_customer as c (voucher_id, customer, uses) select voucher_id, $2, n from uses
on conflict (voucher_id, customer) do update set uses = c.uses + excluded.uses
