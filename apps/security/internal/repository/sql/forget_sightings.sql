delete from sighting where user_id in (select user_id from sighting where at < $1 limit $2)
