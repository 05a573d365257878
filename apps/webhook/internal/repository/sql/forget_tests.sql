-- Deletes all but the last test messages of a webhook.
delete from delivery where webhook_id = $1 and event = $2
    and id not in (select id from delivery where webhook_id = $1 and event = $2 order by id desc limit $3)
