-- Counts a use of a voucher, within its limits.
update voucher set used = used + 1,
    spent = jsonb_set(spent, array[$2::text], to_jsonb(coalesce((spent ->> $2)::bigint, 0) + $3::bigint))
where id = $1 and state = 'active' and starts_at <= $4 and (ends_at is null or ends_at > $4)
  and (max_uses = 0 or used < max_uses)
  and (budget = 0 or coalesce((spent ->> currency)::bigint, 0) + $3 <= budget)
returning case when first_order_only then 1 else max_uses_per_customer end, shop_id, code,
    (max_uses > 0 and used >= max_uses) or (budget > 0 and coalesce((spent ->> currency)::bigint, 0) >= budget)
