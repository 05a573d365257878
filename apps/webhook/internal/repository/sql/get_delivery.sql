select id, webhook_id, event_id, event, status, attempts, response_status, failure, created_at, last_attempt_at, next_attempt_at
from delivery where id = $1
