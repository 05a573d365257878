select id, webhook_id, event_id, event, status, attempts, response_status, failure, created_at, last_attempt_at, next_attempt_at
from delivery where webhook_id = $1 and id < $2 and $3 in ('', status) order by id desc limit $4
