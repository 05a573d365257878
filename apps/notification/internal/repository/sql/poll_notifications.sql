-- $1 users, $2 the IDs after which notifications are new, $3 limit for each user
select n.id, n.user_id, n.kind, n.title, n.body, n.link, n.created_at, n.read_at
from unnest($1::text[], $2::text[]) as p (user_id, after)
cross join lateral (
    select * from notification i where i.user_id = p.user_id and i.id > p.after order by i.id limit $3
) n
