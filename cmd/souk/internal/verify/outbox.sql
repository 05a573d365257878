-- Events that have not been published for 30 s. $1: how many IDs to show.
select (select count(*) from outbox), count(*), coalesce((array_agg(id order by seq))[:$1], '{}')
from outbox
where sent_at is null and created_at < now() - interval '30 seconds'
