-- Whether the owners of a shop were told of a shop order before $2.
select exists (
    select from notice
    where kind = 'new_orders' and state = 'done' and ended_at < $2
      and items @> jsonb_build_array(jsonb_build_object('shop_order_id', $1::text))
)
