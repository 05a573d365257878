select count(*) from event where kind = $1 and first_at > $2
