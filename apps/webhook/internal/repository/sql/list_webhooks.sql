select id, shop_id, url, events, status, disabled_reason, created_at, updated_at
from webhook where shop_id = $1 and id < $2 order by id desc limit $3
