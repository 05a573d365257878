-- $1 orders, $2 old states, $3 new states, $4 now
with written as (
    update reservation r
    set state = n.next, updated_at = $4::timestamptz
    from unnest((select $1::text[]), (select $2::text[]), (select $3::text[])) as n (order_id, was, next)
    where r.order_id = n.order_id and r.state = n.was
    returning r.order_id
)
select all_written(count(*), cardinality((select $1::text[]))) from written
