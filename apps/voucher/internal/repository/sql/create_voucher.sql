insert into voucher (id, shop_id, code, title, kind, percent, currency, amount, buy_quantity, get_quantity, min_subtotal, product_ids,
    category_ids, first_order_only, starts_at, ends_at, max_uses, max_uses_per_customer, budget, stackable, operator_share,
    state, used, spent, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26)
