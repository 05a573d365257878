select n.id, n.kind, coalesce(n.order_id, ''), coalesce(n.about, ''), coalesce(n.shop_id, ''), n.items, n.state, n.traceparent,
       n.created_at, d.id, d.channel, d.recipient, d.state, d.created_at,
       coalesce(p.kinds, '{}'), coalesce(p.quiet_from, ''), coalesce(p.quiet_to, ''), coalesce(p.time_zone, '')
from delivery d join notice n on n.id = d.notice_id
left join preference p on p.owner = d.recipient
where d.id = any($1)
