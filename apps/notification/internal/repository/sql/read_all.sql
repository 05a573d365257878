update notification set read_at = $2 where user_id = $1 and read_at is null
