insert into notification (id, user_id, delivery_id, kind, title, body, link, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)
