update notification set read_at = coalesce(read_at, $3) where id = $1 and user_id = $2
returning id, user_id, kind, title, body, link, created_at, read_at
