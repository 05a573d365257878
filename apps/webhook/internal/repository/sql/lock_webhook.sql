select id, shop_id, url, events, status, disabled_reason, created_at, updated_at from webhook where id = $1 for update
