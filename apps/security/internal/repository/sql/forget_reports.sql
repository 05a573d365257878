delete from report where id in (select id from report where at < $1 limit $2)
