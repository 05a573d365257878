select d.id, d.round, d.round_attempts, d.event_id, d.event, d.body, w.id, w.shop_id, w.url, w.status,
       array(select s.secret from webhook_secret s
             where s.webhook_id = w.id and (s.ends_at is null or s.ends_at > $3) order by s.created_at desc)
from delivery d join webhook w on w.id = d.webhook_id
where d.id = $1 and d.round = $2 and d.status = 'queued'
