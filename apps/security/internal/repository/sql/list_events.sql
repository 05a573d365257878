select id, kind, subject, n, threshold, window_seconds, countries, first_at, last_at, version, acknowledged_at, acknowledged_by,
    note
from event
where id < $1 and ($2 = '' or kind = $2) and ($3 = '' or subject = $3) and (not $4 or acknowledged_at is null)
order by id desc
limit $5
