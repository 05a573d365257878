insert into webhook_secret (webhook_id, secret, created_at) values ($1, $2, $3)
