-- Deletes notices that have ended, with their deliveries, unless one of these still waits.
delete from notice where id in (
    select n.id from notice n
    where n.state <> 'queued' and n.ended_at <= $1
      and not exists (select from delivery d where d.notice_id = n.id and d.state = 'queued')
    limit $2
)
