select id, kind, subject, n, threshold, window_seconds, countries, first_at, last_at, version, acknowledged_at, acknowledged_by,
    note
from event where id = $1 for update
