select user_id, count(*)::int from notification where user_id = any($1) and read_at is null group by user_id
