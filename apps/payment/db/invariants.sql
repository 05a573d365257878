-- One row per check: its name, rows checked, wrong rows, an example.
select 'no payment gave back more than it captured, and its refunds add up', count(*),
       count(*) filter (where p.refunded > p.captured or p.refunded <> coalesce(r.total, 0)),
       coalesce(min(p.id) filter (where p.refunded > p.captured or p.refunded <> coalesce(r.total, 0)), '')
from payment p left join (select payment_id, sum(amount) as total from refund where state = 'done' group by payment_id) r on r.payment_id = p.id
union all
select 'cash that is not collected adds up, and a payment without any of it left is voided', count(*), count(*) filter (where wrong),
       coalesce(min(id) filter (where wrong), '')
from (
    select p.id, p.waived <> coalesce(w.total, 0) or p.waived = p.amount and p.status <> 'voided' as wrong
    from payment p left join (select payment_id, sum(amount) as total from refund where state = 'waived' group by payment_id) w on w.payment_id = p.id
    where p.amount > 0
) c
union all
select 'no payment has been pending for more than an hour', count(*),
       count(*) filter (where created_at < now() - interval '1 hour'),
       coalesce(min(id) filter (where created_at < now() - interval '1 hour'), '')
from payment where status = 'pending';
