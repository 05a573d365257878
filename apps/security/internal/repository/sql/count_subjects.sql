-- Adds observations to the counts of their subjects. A slot with too many subjects of a kind counts further ones as others.
-- Rows are written in the order of their keys, so that two transactions cannot deadlock.
with given as (
    select g.kind, g.slot, g.subject, sum(g.n) as n, max(g.most) as most
    from unnest((select $1::text[]), (select $2::timestamptz[]), (select $3::text[]), (select $4::bigint[]), (select $5::bigint[]))
         as g (kind, slot, subject, n, most)
    group by g.kind, g.slot, g.subject
), room as (
    select g.kind, g.slot,
           (select count(*) from tally t where t.kind = g.kind and t.slot = g.slot) < max(g.most) as free
    from given g group by g.kind, g.slot
), placed as (
    select g.kind, g.slot, g.n,
           case when r.free or exists (
               select from tally t where t.kind = g.kind and t.slot = g.slot and t.subject = g.subject
           ) then g.subject else 'others' end as subject
    from given g join room r on r.kind = g.kind and r.slot = g.slot
)
insert into tally as t (kind, slot, subject, n)
select p.kind, p.slot, p.subject, sum(p.n) from placed p
group by p.kind, p.slot, p.subject order by p.kind, p.slot, p.subject
on conflict (kind, slot, subject) do update set n = t.n + excluded.n
