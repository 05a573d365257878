-- $1 ID, $2 user, $3 kind, $4 digest of the token, $5 where messages go (encrypted), $6 time
insert into device (id, user_id, kind, token_digest, sealed, created_at) values ($1, $2, $3, $4, $5, $6)
on conflict (token_digest) do update
set user_id = excluded.user_id, kind = excluded.kind, sealed = excluded.sealed
returning id, created_at
