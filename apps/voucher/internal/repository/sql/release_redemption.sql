update redemption set state = 'released', updated_at = $2 where order_id = $1 and state = 'redeemed'
returning customer_id, mailbox
