select id, kind, coalesce(order_id, ''), coalesce(about, ''), coalesce(shop_id, ''), items, state, traceparent, created_at
from notice where id = any($1)
