-- Sagas that are parked, or that have been due for 30 s without any progress. $1: how many IDs to show.
select count(*), count(*) filter (where wrong), coalesce((array_agg(id order by id) filter (where wrong))[:$1], '{}')
from (
    select id, state = 'parked'
               or state in ('running', 'compensating') and greatest(lease_until, next_run_at) < now() - interval '30 seconds' as wrong
    from saga
) s
