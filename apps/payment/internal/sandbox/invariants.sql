-- As db/invariants.sql: payments and refunds against the books of the sandbox.
select 'the sandbox''s ledger sums to zero in each currency', count(*), count(*) filter (where total <> 0),
       coalesce(min(currency) filter (where total <> 0), '')
from (select currency, sum(amount) as total from sandbox.ledger_entry group by currency) l
union all
select 'every captured payment is captured at its provider, once and in full', count(*),
       count(*) filter (where c.key is null or c.captured <> p.captured or c.currency <> p.currency or l.booked is distinct from p.captured),
       coalesce(min(p.id) filter (where c.key is null or c.captured <> p.captured or c.currency <> p.currency or l.booked is distinct from p.captured), '')
from payment p
left join sandbox.charge c on c.key = p.id
left join (select key, sum(amount) as booked from sandbox.ledger_entry where kind = 'capture' and account = 'merchant' group by key) l on l.key = p.id
where p.provider = 'sandbox' and p.captured > 0
union all
select 'every charge that the provider captured, and did not refund, has a captured payment', count(*),
       count(*) filter (where p.id is null and c.refunded < c.captured or p.captured <> c.captured and p.updated_at < now() - interval '1 minute'),
       coalesce(min(c.key) filter (where p.id is null and c.refunded < c.captured or p.captured <> c.captured and p.updated_at < now() - interval '1 minute'), '')
from sandbox.charge c left join payment p on p.id = c.key
where c.captured > 0
union all
select 'refunds that are done were paid back by the provider, once', count(*),
       count(*) filter (where s.key is null or s.amount <> r.amount),
       coalesce(min(r.id) filter (where s.key is null or s.amount <> r.amount), '')
from refund r join payment p on p.id = r.payment_id left join sandbox.refund s on s.key = r.id
where r.state = 'done' and p.provider = 'sandbox'
union all
select 'nothing is held at the provider for a payment that was given up', count(*),
       count(*) filter (where c.status = 'authorized' and p.updated_at < now() - interval '1 minute'),
       coalesce(min(p.id) filter (where c.status = 'authorized' and p.updated_at < now() - interval '1 minute'), '')
from payment p left join sandbox.charge c on c.key = p.id
where p.status in ('voided', 'failed');
