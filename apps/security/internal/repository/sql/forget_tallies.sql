delete from tally where (kind, slot, subject) in (
    select t.kind, t.slot, t.subject
    from unnest($1::text[], $2::timestamptz[]) as old (kind, before)
    join tally t on t.kind = old.kind and t.slot < old.before
    limit $3)
