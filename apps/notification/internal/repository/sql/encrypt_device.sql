-- Encrypts a device of the former version, unless its token was registered again: then the new one stays.
-- $1 ID, $2 digest of the token, $3 where messages go (encrypted)
with double as (
    delete from device where id = $1 and exists (select from device d where d.token_digest = $2 and d.id <> $1)
    returning id
)
update device set token_digest = $2, sealed = $3, token = null, p256dh = '', auth = ''
where id = $1 and sealed is null and not exists (select from double)
