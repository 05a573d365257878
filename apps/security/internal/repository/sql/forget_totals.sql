delete from total where (kind, slot) in (select kind, slot from total where slot < $1 limit $2)
