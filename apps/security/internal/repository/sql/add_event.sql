insert into event (id, kind, subject, n, threshold, window_seconds, countries, first_at, last_at, version, acknowledged_at,
    acknowledged_by, note)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
