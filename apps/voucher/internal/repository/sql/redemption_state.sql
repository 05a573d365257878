select state from redemption where order_id = $1
