select id, user_id, kind, token_digest, sealed, coalesce(token, ''), p256dh, auth, created_at
from device where sealed is null limit $1
