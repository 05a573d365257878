-- A finding about a subject goes on: it belongs to the latest security event of the kind, if that is not too old. One that was
-- acknowledged stays as it was then, and what is twice as much is another one.
update event e
set last_at = $4, n = case when e.acknowledged_at is null then greatest(e.n, $5) else e.n end, threshold = $6
where e.id = (
    select l.id from event l where l.kind = $1 and l.subject = $2 and l.last_at >= $3 order by l.last_at desc limit 1
) and (e.acknowledged_at is null or $5 < 2 * e.n)
