-- The subjects with at least a number of observations of a kind since a time, those with the most first.
select q.kind, s.subject, s.n
from unnest($1::text[], $2::timestamptz[], $3::bigint[]) as q (kind, since, least)
cross join lateral (
    select t.subject, sum(t.n)::bigint as n from tally t
    where t.kind = q.kind and t.slot >= q.since
    group by t.subject having sum(t.n) >= q.least
    order by n desc, t.subject limit $4
) s
order by q.kind, s.n desc, s.subject
