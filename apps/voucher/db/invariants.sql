-- One row per check: its name, the number of rows examined, the number that break the rule, and the ID of one of those.
with uses as (
    select v.voucher_id, r.order_id, r.customer_id, r.mailbox, v.currency, v.amount
    from redemption r join redemption_voucher v on v.order_id = r.order_id where r.state = 'redeemed'
), spent as (
    select voucher_id, jsonb_object_agg(currency, amount) as spent
    from (select voucher_id, currency, sum(amount) as amount from uses group by voucher_id, currency) x group by voucher_id
), customers as (
    select voucher_id, customer, count(*) as uses
    from (select voucher_id, customer_id as customer from uses
        union all select voucher_id, 'mailbox:' || encode(mailbox, 'hex') from uses where mailbox <> '') x
    group by voucher_id, customer
), checks as (
    select 'vouchers count the orders that use them' as name, v.id,
           v.used <> (select count(*) from uses u where u.voucher_id = v.id) as wrong
    from voucher v
    union all
    select 'vouchers spent what orders saved', v.id,
           (select coalesce(jsonb_object_agg(k, n) filter (where n <> '0'), '{}') from jsonb_each(v.spent) as e (k, n))
               <> coalesce((select s.spent from spent s where s.voucher_id = v.id), '{}')
    from voucher v
    union all
    select 'vouchers count the uses of each customer', coalesce(c.voucher_id, x.voucher_id),
           coalesce(c.uses, 0) <> coalesce(x.uses, 0)
    from voucher_customer c full join customers x on x.voucher_id = c.voucher_id and x.customer = c.customer
)
select name, count(*), count(*) filter (where wrong), coalesce(min(id) filter (where wrong), '') from checks group by name order by name
