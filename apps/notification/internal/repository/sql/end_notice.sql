update notice set state = $2, last_error = $3, ended_at = $4, open = false where id = $1 and state = 'queued'
