update voucher_customer set uses = uses - 1 where voucher_id = $1 and customer = any ($2::text[])
