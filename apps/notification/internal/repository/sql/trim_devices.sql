-- Keeps the newest $2 devices of a user.
delete from device where id in (select d.id from device d where d.user_id = $1 order by d.id desc offset $2)
