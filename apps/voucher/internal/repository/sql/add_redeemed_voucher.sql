insert into redemption_voucher (order_id, voucher_id, currency, amount, operator_amount) values ($1, $2, $3, $4, $5)
