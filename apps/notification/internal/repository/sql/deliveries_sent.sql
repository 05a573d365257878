-- Marks deliveries as sent.
update delivery d
set state = 'sent', ended_at = i.at, last_error = '', attempts = d.attempts + 1
from unnest($1::text[], $2::timestamptz[]) as i (id, at)
where d.id = i.id and d.state = 'queued'
returning d.id, 1::bigint as version
