insert into device (id, user_id, kind, token, p256dh, auth, created_at) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (token) do update
set user_id = excluded.user_id, kind = excluded.kind, p256dh = excluded.p256dh, auth = excluded.auth
returning id, user_id, kind, token, p256dh, auth, created_at
