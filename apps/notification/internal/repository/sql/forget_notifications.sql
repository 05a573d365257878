delete from notification where id in (select n.id from notification n where n.created_at <= $1 limit $2)
