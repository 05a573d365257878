-- Adds observations to the counts of the marketplace. Rows are written in the order of their keys, so that two
-- transactions cannot deadlock.
insert into total as t (kind, slot, n)
select g.kind, g.slot, sum(g.n)
from unnest((select $1::text[]), (select $2::timestamptz[]), (select $3::bigint[])) as g (kind, slot, n)
group by g.kind, g.slot order by g.kind, g.slot
on conflict (kind, slot) do update set n = t.n + excluded.n
