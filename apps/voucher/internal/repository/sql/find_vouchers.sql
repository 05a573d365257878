select id, shop_id, code, title, kind, percent, currency, amount, buy_quantity, get_quantity, min_subtotal, product_ids,
    category_ids, first_order_only, starts_at, ends_at, max_uses, max_uses_per_customer, budget, stackable, operator_share,
    state, used, spent, created_at, updated_at
from voucher where code = any ($1::text[]) and shop_id = any ($2::text[])
