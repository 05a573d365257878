-- $1 the last one of the page before or '', $2 state or '', $3 recipient or '', $4 limit
select d.id, n.kind, coalesce(n.order_id, n.about, n.shop_id, ''), d.channel, d.recipient, d.state, d.attempts, d.last_error,
       d.created_at, d.ended_at
from delivery d join notice n on n.id = d.notice_id
where ($1 = '' or d.id < $1) and ($2 = '' or d.state = $2) and ($3 = '' or d.recipient = $3)
order by d.id desc
limit $4
