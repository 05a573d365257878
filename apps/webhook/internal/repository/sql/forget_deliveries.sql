delete from delivery where id in (
    select id from delivery where created_at < $1 and status <> 'queued' order by created_at limit $2
)
