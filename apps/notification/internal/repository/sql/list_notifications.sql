-- $1 user, $2 the last one of the page before or '', $3 whether only unread ones, $4 limit
select id, user_id, kind, title, body, link, created_at, read_at
from notification
where user_id = $1 and ($2 = '' or id < $2) and (not $3::boolean or read_at is null)
order by id desc
limit $4
