-- $1 orders, $2 variants
with written as (
    update reservation_line l set restocked = true
    from unnest((select $1::text[]), (select $2::text[])) as n (order_id, variant_id)
    where l.order_id = n.order_id and l.variant_id = n.variant_id and not l.restocked
    returning l.order_id
)
select all_written(count(*), cardinality((select $1::text[]))) from written
