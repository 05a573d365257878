-- A page of the vouchers of a shop, newest first. The status '' stands for any.
select id, shop_id, code, title, kind, percent, currency, amount, buy_quantity, get_quantity, min_subtotal, product_ids,
    category_ids, first_order_only, starts_at, ends_at, max_uses, max_uses_per_customer, budget, stackable, operator_share,
    state, used, spent, created_at, updated_at
from voucher
where shop_id = $1 and id < $2
  and $3 in ('', case when state <> 'disabled' and ends_at <= $4 then 'expired' else state end)
order by id desc limit $5
