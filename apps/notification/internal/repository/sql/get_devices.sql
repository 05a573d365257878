select id, user_id, kind, token_digest, sealed, coalesce(token, ''), p256dh, auth, created_at
from device where user_id = any($1) order by id
