update voucher set title = $2, percent = $3, currency = $4, amount = $5, buy_quantity = $6, get_quantity = $7,
    min_subtotal = $8, product_ids = $9, category_ids = $10, first_order_only = $11, starts_at = $12, ends_at = $13,
    max_uses = $14, max_uses_per_customer = $15, budget = $16, stackable = $17, operator_share = $18, state = $19,
    updated_at = $20
where id = $1
