delete from device where id = $1 and ($2 = '' or user_id = $2)
