update voucher set used = used - 1,
    spent = jsonb_set(spent, array[$2::text], to_jsonb(coalesce((spent ->> $2)::bigint, 0) - $3::bigint))
where id = $1
