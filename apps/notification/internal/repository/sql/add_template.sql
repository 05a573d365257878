-- Adds a version if the one before it is the greatest.
insert into template (kind, channel, locale, version, subject, body, author, created_at)
select $1, $2, $3, $4, $5, $6, $7, $8
where $4::int = 1 + coalesce((select max(t.version) from template t where t.kind = $1 and t.channel = $2 and t.locale = $3), 0)
on conflict do nothing
