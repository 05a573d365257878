-- One row per check: its name, rows checked, wrong rows, an example.
select 'nothing was delivered twice on one channel to one recipient', count(*), count(*) filter (where n > 1),
       coalesce(min(example) filter (where n > 1), '')
from (
    select count(*) as n, min(d.id) as example
    from delivery d join notice n on n.id = d.notice_id
    group by n.kind, coalesce(n.order_id, n.about, n.id), d.recipient, d.channel
) c
union all
select 'every notification of an inbox has a sent delivery', count(*), count(*) filter (where d.state is distinct from 'sent'),
       coalesce(min(n.id) filter (where d.state is distinct from 'sent'), '')
from notification n left join delivery d on d.id = n.delivery_id and d.channel = 'inbox' and d.recipient = n.user_id
union all
select 'every notice and delivery that waits has a job', count(*), count(*) filter (where w.jobs <> 1),
       coalesce(min(w.id) filter (where w.jobs <> 1), '')
from (
    select q.id, (
        select count(*) from river_job j
        where j.kind = q.kind and j.args @> jsonb_build_object('id', q.id) and j.state not in ('completed', 'cancelled', 'discarded')
    ) as jobs
    from (
        select id, 'notice' as kind from notice where state = 'queued'
        union all
        select id, 'delivery' from delivery where state = 'queued'
    ) q
) w;
