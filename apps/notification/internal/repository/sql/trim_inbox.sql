-- Keeps the newest $2 notifications of a user.
delete from notification where id in (select n.id from notification n where n.user_id = $1 order by n.id desc offset $2)
