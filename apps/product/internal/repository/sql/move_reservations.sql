-- $1 orders, $2 states they were in, $3 states they come to, $4 now
update reservation r
set state = n.next, updated_at = $4::timestamptz
from unnest($1::text[], $2::text[], $3::text[]) as n (order_id, was, next)
where r.order_id = n.order_id and r.state = n.was
