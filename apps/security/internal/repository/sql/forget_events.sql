delete from event where id in (select id from event where last_at < $1 limit $2)
