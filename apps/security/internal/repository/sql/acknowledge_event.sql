update event set version = $2, acknowledged_at = $3, acknowledged_by = $4, note = $5 where id = $1
