delete from suppression where id in (select s.id from suppression s where s.expires_at <= $1 limit $2)
