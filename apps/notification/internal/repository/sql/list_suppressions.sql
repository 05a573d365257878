-- $1 the last one of the page before or '', $2 time, $3 limit
select id, source, reason, created_at, expires_at from suppression
where ($1 = '' or id < $1) and expires_at > $2
order by id desc
limit $3
