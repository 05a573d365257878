-- Deletes what is kept about a user. Suppressions of mailboxes stay, or mails would go out again.
with notifications as (delete from notification where user_id = $1),
    devices as (delete from device where user_id = $1),
    preferences as (delete from preference where owner = $1)
delete from delivery where recipient = $1 or recipient in (select id from device where user_id = $1)
