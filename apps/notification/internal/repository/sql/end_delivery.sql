update delivery set state = $2, last_error = $3, ended_at = $4, attempts = attempts + 1 where id = $1 and state = 'queued'
