select count(*) from voucher where shop_id = $1
