update notice set attempts = attempts + 1, last_error = $2 where id = $1 and state = 'queued'
