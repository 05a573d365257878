-- How often each kind was observed in the last hour, and in the same hour of the days before for which there are counts.
with since as (
    select min(f.slot) as slot
    from unnest($1::text[]) as k (kind)
    cross join lateral (select min(t.slot) as slot from total t where t.kind = k.kind) f
), days as (
    select d.day, $2::timestamptz - make_interval(days => d.day) as until from generate_series(0, $3::integer) as d (day)
)
select k.kind, d.day, coalesce((
    select sum(t.n) from total t
    where t.kind = k.kind and t.slot > d.until - $4::interval and t.slot <= d.until
), 0)::bigint as n
from unnest($1::text[]) as k (kind) cross join days d cross join since s
where d.day = 0 or s.slot <= d.until - $4::interval
order by k.kind, d.day
