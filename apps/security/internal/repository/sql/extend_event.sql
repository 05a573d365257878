-- A finding about a subject goes on: it belongs to the latest security event of the kind, if that is not too old.
update event e set last_at = $4, n = greatest(e.n, $5), threshold = $6
where e.id = (
    select l.id from event l where l.kind = $1 and l.subject = $2 and l.last_at >= $3 order by l.last_at desc limit 1
)
