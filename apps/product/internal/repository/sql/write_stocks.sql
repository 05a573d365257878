-- $1 variants, $2 on hand, $3 reserved
with written as (
    update stock k
    set on_hand = n.on_hand, reserved = n.reserved
    from unnest((select $1::text[]), (select $2::bigint[]), (select $3::bigint[])) as n (variant_id, on_hand, reserved)
    where k.variant_id = n.variant_id
    returning k.variant_id
)
select all_written(count(*), cardinality((select $1::text[]))) from written
