lock table shop_ref in share row exclusive mode
