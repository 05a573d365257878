select r.id, r.revision, coalesce(sum(s.n), 0)::int as count, coalesce(sum(s.n * s.stars) / nullif(sum(s.n), 0), 0)::float8 as average
from doc_ratings r
cross join lateral (
    select e.n::numeric as n, e.stars from jsonb_array_elements_text(r.doc -> 'stars') with ordinality as e (n, stars)
) s
group by r.id, r.revision
