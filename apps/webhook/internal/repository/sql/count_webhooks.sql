select count(*) from webhook where shop_id = $1
